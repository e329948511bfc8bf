// An adapter for `vhost-inflight check-vectors` (JSON lines), around the recovery of a split ring in Go.
//
// The standard library alone: go build split.go. What is between the two lines of ---- stands for your back-end: call
// it there instead. It says that it has split rings and states alone; the vectors about packed rings and lives are then
// counted as unsupported.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
)

// refusal is who broke a rule; of a region: the back-end that stored it.
type refusal string

const (
	none     refusal = ""
	frontEnd refusal = "front-end"
	driver   refusal = "driver"
	backEnd  refusal = "back-end"
)

type recovered struct {
	resubmit        []uint16
	nextAvail, used uint16
	counter         uint64
}

// ---- the back-end: on real memory these are atomic stores, in this order; recover.c says which order, and why

const (
	version       = 8
	descNum       = 10
	lastBatchHead = 12
	usedIdx       = 14
	header        = 16
	entrySize     = 16 // inflight 0, next 6, counter 8
)

func recoverSplit(region, table, avail, used []byte, size, entries int) (recovered, refusal) {
	le := binary.LittleEndian
	var found recovered
	if size < 1 || size&(size-1) != 0 || size > 32768 || entries < size || entries > 32768 {
		return found, frontEnd
	}
	if len(region) < header+entrySize*entries || len(table) < 16*size || len(avail) < 4+2*size || len(used) < 4+8*size {
		return found, frontEnd
	}
	found.used = le.Uint16(used[2:])
	switch {
	case le.Uint16(region[version:]) == 0:
		le.PutUint16(region[descNum:], uint16(entries))
		le.PutUint16(region[usedIdx:], found.used) // the ring may have been in use
		le.PutUint16(region[version:], 1)          // last
	case le.Uint16(region[version:]) != 1 || int(le.Uint16(region[descNum:])) != entries:
		return found, backEnd
	}
	// 1. what was published last is not inflight
	batch := found.used - le.Uint16(region[usedIdx:])
	if int(batch) > size {
		return found, backEnd
	}
	for entry := int(le.Uint16(region[lastBatchHead:])); batch > 0; batch-- {
		if entry >= entries {
			return found, backEnd
		}
		region[header+entrySize*entry] = 0
		entry = int(le.Uint16(region[header+entrySize*entry+6:]))
	}
	le.PutUint16(region[usedIdx:], found.used)
	// 2. what is left is resubmitted, in the order of the counters
	counter := func(head uint16) uint64 { return le.Uint64(region[header+entrySize*int(head)+8:]) }
	found.resubmit = []uint16{}
	for entry := 0; entry < entries; entry++ {
		inflight := region[header+entrySize*entry]
		if inflight > 1 || inflight == 1 && entry >= size {
			return found, backEnd
		}
		if inflight == 1 {
			found.resubmit = append(found.resubmit, uint16(entry))
		}
	}
	sort.SliceStable(found.resubmit, func(i, j int) bool {
		return counter(found.resubmit[i]) < counter(found.resubmit[j])
	})
	if n := len(found.resubmit); n > 0 {
		greatest := counter(found.resubmit[n-1])
		if greatest == math.MaxUint64 {
			return found, backEnd
		}
		found.counter = greatest + 1
	}
	for _, head := range found.resubmit {
		if !chainIsRight(table, size, int(head)) {
			return found, driver
		}
	}
	found.nextAvail = found.used + uint16(len(found.resubmit))
	if ahead := le.Uint16(avail[2:]) - found.nextAvail; int(ahead) > size {
		return found, driver
	}
	return found, none
}

// chainIsRight follows a chain as the device will: it ends within the table, and nothing to be read comes after what is
// written. A back-end checks indirect tables too, and that every buffer is in the guest's memory.
func chainIsRight(table []byte, size, entry int) bool {
	le := binary.LittleEndian
	written := false
	for followed := 0; followed < size && entry < size; followed++ {
		desc := table[16*entry:]
		addr, length, flags := le.Uint64(desc), uint64(le.Uint32(desc[8:])), le.Uint16(desc[12:])
		if flags&4 != 0 {
			return length != 0 && length%16 == 0 && length <= 16*32768 && flags&1 == 0
		}
		if written && flags&2 == 0 || length > 0 && addr > math.MaxUint64-length+1 {
			return false
		}
		written = flags&2 != 0
		if flags&1 == 0 {
			return true
		}
		entry = int(le.Uint16(desc[14:]))
	}
	return false
}

// ---- the adapter

type given struct {
	QueueSize  int               `json:"queue_size"`
	RegionSize int               `json:"region_size"`
	Region     string            `json:"region"`
	RingMemory map[string]string `json:"ring_memory"`
}

type message struct {
	Op    string `json:"op"`
	ID    string `json:"id"`
	Given given  `json:"given"`
}

type object map[string]any

func run(asked message) (object, error) {
	region, err := hex.DecodeString(asked.Given.Region)
	if err != nil {
		return nil, err
	}
	parts := map[string][]byte{}
	for name, text := range asked.Given.RingMemory {
		if parts[name], err = hex.DecodeString(text); err != nil {
			return nil, err
		}
	}
	found, refused := recoverSplit(region, parts["descriptors"], parts["available"], parts["used"],
		asked.Given.QueueSize, asked.Given.RegionSize)
	if refused != none {
		return object{"id": asked.ID, "answer": object{"refused": refused}}, nil
	}
	return object{"id": asked.ID, "answer": object{
		"resubmit": found.resubmit, "next_avail": found.nextAvail, "used": found.used, "counter": found.counter,
		"region": hex.EncodeToString(region), "ring_memory": asked.Given.RingMemory,
	}}, nil
}

func main() {
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			os.Exit(1)
		}
		var asked message
		if err == nil {
			err = json.Unmarshal(line, &asked)
		}
		var said object
		switch {
		case err != nil:
		case asked.Op == "start":
			said = object{"version": 1, "name": "split.go", "rings": []string{"split"},
				"kinds": []string{"state", "seen"}, "revisions": []string{"merged", "hardened"}}
		case asked.Op == "run":
			said, err = run(asked)
		default:
			return // stop
		}
		if err == nil {
			err = out.Encode(said)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
