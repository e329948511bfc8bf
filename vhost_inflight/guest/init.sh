#!/bin/busybox sh
# The first process of the guest: load the drivers, say what the disk is, and do what the console says, line by line.
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod "/modules/$module"; done

disk() { # wait for the disk, and say what was negotiated (features: character n is bit n)
    until [ -b /dev/vda ]; do /bin/busybox usleep 10000; done
    echo "DISK $(/bin/busybox blockdev --getsize64 /dev/vda) bytes," \
        "$(/bin/busybox ls -d /sys/block/vda/mq/* | /bin/busybox wc -l) queues," \
        "features $(/bin/busybox cat /sys/bus/virtio/devices/virtio0/features)"
}

disk
while read -r order arguments; do
    case $order in
    load) /load $arguments ;;
    rebind) # reset the device: the driver lets go of it and takes it anew
        echo virtio0 >/sys/bus/virtio/drivers/virtio_blk/unbind
        echo virtio0 >/sys/bus/virtio/drivers/virtio_blk/bind
        disk
        ;;
    md5) # past what the guest has cached
        echo 3 >/proc/sys/vm/drop_caches
        echo "MD5 $(/bin/busybox md5sum /dev/vda)"
        ;;
    stir) # for as long as it runs: new processes write to memory all the time, whatever the disk does
        while :; do /bin/busybox usleep 50000; done &
        ;;
    off) /bin/busybox poweroff -f ;;
    esac
done
