// Memory orders of a back-end and a driver, small enough that relacy explores every execution of them that C11 allows.
//
//   orders PROGRAM kept|dropped     prints what relacy saw and, on the last line, "sound" or "broken"; exit 0
//
// Each program is a pair of accesses of the back-end that docs/orders-memory.md speaks of, with the C11 form that it
// gives (kept) or without it (dropped); the other thread is a driver that does what virtio asks.
// Where stores to the region stand between, they are left out: the driver does not read them.

#include <relacy/relacy.hpp>

#include <cstdio>
#include <cstring>

using rl::mo_acquire;
using rl::mo_relaxed;
using rl::mo_release;
using rl::mo_seq_cst;

namespace {

using field = rl::atomic<int>;

constexpr rl::memory_order released(bool kept) { return kept ? mo_release : mo_relaxed; }
constexpr rl::memory_order acquired(bool kept) { return kept ? mo_acquire : mo_relaxed; }

// What a used element says is stored, then what makes it visible: used.idx, or the flags of a slot.
template <bool kept>
struct publish : rl::test_suite<publish<kept>, 2> {
    field element, visible;
    void before() { element($) = 0, visible($) = 0; }
    void thread(unsigned who) {
        if (who == 0) {
            element.store(1, mo_relaxed, $);
            visible.store(1, released(kept), $);
        } else if (visible.load(mo_acquire, $) == 1) {
            RL_ASSERT(element.load(mo_relaxed, $) == 1);
        }
    }
};

// The driver makes a request available; the back-end looks whether there is one (avail.idx, the flags of a slot), and
// then at what it says.
template <bool kept>
struct take : rl::test_suite<take<kept>, 2> {
    field request, available;
    void before() { request($) = 0, available($) = 0; }
    void thread(unsigned who) {
        if (who == 0) {
            request.store(1, mo_relaxed, $);
            available.store(1, mo_release, $);
        } else if (available.load(acquired(kept), $) == 1) {
            RL_ASSERT(request.load(mo_relaxed, $) == 1);
        }
    }
};

// Each side stores something and then looks at what the other one stores: the wish to be kicked and the next request,
// or the used element and the wish to be notified. If both miss the other's store, one sleeps and nobody wakes it.
// A release and an acquire stay where they are even when dropped: they are not enough.
template <bool kept>
struct look_again : rl::test_suite<look_again<kept>, 2> {
    field ours, theirs;
    int seen[2];
    void before() { ours($) = 0, theirs($) = 0; }
    void thread(unsigned who) {
        if (who == 0) {
            ours.store(1, mo_release, $);
            if (kept) rl::atomic_thread_fence(mo_seq_cst, $);
            seen[0] = theirs.load(mo_acquire, $);
        } else {
            theirs.store(1, mo_relaxed, $);
            rl::atomic_thread_fence(mo_seq_cst, $);
            seen[1] = ours.load(mo_relaxed, $);
        }
    }
    void after() { RL_ASSERT(seen[0] == 1 || seen[1] == 1); }
};

// The driver says of which used element it wants to be notified (off_wrap), then that it does (flags); the back-end
// looks at flags and then at off_wrap. With an old off_wrap it would not notify.
template <bool kept>
struct wish : rl::test_suite<wish<kept>, 2> {
    field off_wrap, flags;
    void before() { off_wrap($) = 0, flags($) = 0; }
    void thread(unsigned who) {
        if (who == 0) {
            off_wrap.store(1, mo_relaxed, $);
            flags.store(1, mo_release, $);
        } else if (flags.load(acquired(kept), $) == 1) {
            RL_ASSERT(off_wrap.load(mo_relaxed, $) == 1);
        }
    }
};

template <template <bool> class program>
bool sound(bool kept) {
    rl::test_params params;
    params.search_type = rl::sched_full;
    return kept ? rl::simulate<program<true>>(params) : rl::simulate<program<false>>(params);
}

struct {
    char const* name;
    bool (*run)(bool);
} const programs[] = {
    {"publish", sound<publish>}, {"take", sound<take>},
    {"look_again", sound<look_again>}, {"wish", sound<wish>},
};

}  // namespace

int main(int argc, char** argv) {
    for (auto const& program : programs)
        if (argc == 3 && std::strcmp(argv[1], program.name) == 0) {
            std::puts(program.run(std::strcmp(argv[2], "kept") == 0) ? "sound" : "broken");
            return 0;
        }
    std::fputs("usage: orders PROGRAM kept|dropped\n", stderr);
    return 2;
}
