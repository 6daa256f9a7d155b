//! The simulator: an executor whose clock jumps.
//!
//! One thread, one run. Tasks that can go on are polled in the order in which they were woken; when none can, the
//! clock jumps to the earliest timer. Equal deadlines fire in the order in which they were set. Nothing reads the
//! machine's clock, nothing depends on addresses or hash order: the same inputs give the same run, bit for bit.
//!
//! Resolution is one nanosecond. Tokio's paused clock rounds every deadline up to a millisecond, which makes an M/M/1
//! queue with a mean service of 3 ms three times too slow (measured; `docs/decisions/0001-engine.md`).
//!
//! A task belongs to an owner (an instance). Killing the owner drops its tasks with everything they hold; pausing it
//! keeps its tasks from being polled until it is resumed, as SIGSTOP would.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::radix_heap::RadixHeap;
use eastfall_topology::time::Moment;

/// Whose a task is: an instance of a service, or the lab itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u32);

/// A task's future.
pub type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static READY: RefCell<VecDeque<u32>> = const { RefCell::new(VecDeque::new()) };
    static CORE: RefCell<Core> = RefCell::new(Core::new());
}

struct Core {
    tasks: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
    timers: Timers,
    paused: BTreeMap<Owner, Vec<u32>>,
}

struct Slot {
    owner: Owner,
    state: State,
    waker: Arc<TaskWaker>,
}

enum State {
    Free,
    /// With its waker, so that polling counts no references.
    Waiting(TaskFuture, Waker),
    /// Its future is on the stack of `poll`.
    Running,
    /// Killed while on that stack: to be dropped as soon as it returns.
    Doomed,
}

/// Wakers belong to the slot, not to the task in it: a stale one causes a poll too many, which does no harm and is
/// as repeatable as all else, and a task costs no allocation but its future's.
struct TaskWaker {
    slot: u32,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            // Not `with_borrow_mut`: a task may be woken while the thread itself is being torn down.
            let _ = READY.try_with(|ready| ready.borrow_mut().push_back(self.slot));
        }
    }
}

/// Timers by slot, so that one can be cancelled: its entry in the heap then finds the slot empty, and is dropped when the
/// heap comes across it. Most timers end so: nearly every call is answered within its time-out.
struct Timers {
    heap: RadixHeap<u32>,
    slots: Vec<TimerSlot>,
    free: Vec<u32>,
}

struct TimerSlot {
    generation: u32,
    waker: Option<Waker>,
}

impl Timers {
    /// The deadline of the earliest timer up to `until`, and its waker unless it was cancelled.
    fn next(&mut self, until: u64) -> Option<(u64, Option<Waker>)> {
        let (deadline, slot) = self.heap.pop(until, |&slot| {
            let entry = &mut self.slots[slot as usize];
            let wanted = entry.waker.is_some();
            if !wanted {
                entry.generation = entry.generation.wrapping_add(1);
                self.free.push(slot);
            }
            wanted
        })?;
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        Some((deadline, entry.waker.take()))
    }
}

/// Names a timer that has been set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

impl Core {
    fn new() -> Self {
        Core {
            tasks: Vec::new(),
            free: Vec::new(),
            live: 0,
            timers: Timers { heap: RadixHeap::new(), slots: Vec::new(), free: Vec::new() },
            paused: BTreeMap::new(),
        }
    }
}

/// The virtual present. Zero outside a run.
pub fn now() -> Moment {
    Moment::from_nanos(NOW.get())
}

/// Sets a timer that wakes `waker` at `deadline`.
pub(crate) fn set_timer(deadline: Moment, waker: Waker) -> TimerKey {
    CORE.with_borrow_mut(|core| {
        let timers = &mut core.timers;
        let slot = timers.free.pop().unwrap_or_else(|| {
            timers.slots.push(TimerSlot { generation: 0, waker: None });
            (timers.slots.len() - 1) as u32
        });
        let entry = &mut timers.slots[slot as usize];
        entry.waker = Some(waker);
        timers.heap.push(deadline.as_nanos(), slot);
        TimerKey { slot, generation: entry.generation }
    })
}

/// Points a timer at another waker.
pub(crate) fn update_timer(key: TimerKey, waker: &Waker) {
    CORE.with_borrow_mut(|core| {
        let slot = &mut core.timers.slots[key.slot as usize];
        if slot.generation == key.generation && !slot.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
    });
}

/// Forgets a timer. No effect on one that has fired.
pub(crate) fn cancel_timer(key: TimerKey) {
    // Not `with_borrow_mut`: a sleep may be dropped while the thread itself is being torn down.
    let _ = CORE.try_with(|core| {
        let slot_waker = core.try_borrow_mut().ok().and_then(|mut core| {
            let slot = core.timers.slots.get_mut(key.slot as usize)?;
            if slot.generation == key.generation { slot.waker.take() } else { None }
        });
        drop(slot_waker);
    });
}

/// Starts a task. It is polled for the first time after those that were woken before it.
pub fn spawn(owner: Owner, future: TaskFuture) -> u32 {
    CORE.with_borrow_mut(|core| {
        core.live += 1;
        let slot = match core.free.pop() {
            Some(slot) => {
                let task = &mut core.tasks[slot as usize];
                task.owner = owner;
                task.state = State::Waiting(future, Waker::from(Arc::clone(&task.waker)));
                slot
            }
            None => {
                let slot = core.tasks.len() as u32;
                let waker = Arc::new(TaskWaker { slot, queued: AtomicBool::new(false) });
                let state = State::Waiting(future, Waker::from(Arc::clone(&waker)));
                core.tasks.push(Slot { owner, state, waker });
                slot
            }
        };
        core.tasks[slot as usize].waker.wake_by_ref();
        slot
    })
}

/// Drops all tasks of an owner, with everything they hold.
pub fn kill(owner: Owner) {
    let dropped: Vec<State> = CORE.with_borrow_mut(|core| {
        core.paused.remove(&owner);
        let mut dropped = Vec::new();
        for slot in 0..core.tasks.len() {
            let task = &mut core.tasks[slot];
            if task.owner != owner {
                continue;
            }
            match task.state {
                State::Waiting(..) => {
                    dropped.push(std::mem::replace(&mut task.state, State::Free));
                    core.free.push(slot as u32);
                    core.live -= 1;
                }
                State::Running => task.state = State::Doomed,
                State::Free | State::Doomed => {}
            }
        }
        dropped
    });
    // Outside the borrow: what is dropped cancels timers and wakes others.
    drop(dropped);
}

/// Keeps an owner's tasks from running.
pub fn pause(owner: Owner) {
    CORE.with_borrow_mut(|core| {
        core.paused.entry(owner).or_default();
    });
}

/// Lets them run again, first those that were woken first.
pub fn resume(owner: Owner) {
    if let Some(parked) = CORE.with_borrow_mut(|core| core.paused.remove(&owner)) {
        READY.with_borrow_mut(|ready| ready.extend(parked));
    }
}

/// How many tasks there are.
pub fn task_count() -> usize {
    CORE.with_borrow(|core| core.live)
}

/// Why [`run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The end was reached.
    AtEnd,
    /// No task can go on and no timer is set: nothing can happen any more.
    Idle,
    /// More polls at one moment than [`LIVELOCK_POLLS`]: tasks wake each other for ever and time can't move on.
    Livelock,
}

/// Polls at one and the same moment that are taken for a livelock.
pub const LIVELOCK_POLLS: u64 = 100_000_000;

/// Begins a run on this thread: clears what an earlier one left and sets the clock to zero.
pub fn reset() {
    let old = CORE.with_borrow_mut(|core| {
        let tasks = std::mem::take(&mut core.tasks);
        core.free.clear();
        core.live = 0;
        core.paused.clear();
        tasks
    });
    drop(old);
    CORE.with_borrow_mut(|core| *core = Core::new());
    READY.with_borrow_mut(VecDeque::clear);
    NOW.set(0);
}

/// Runs until `end`, which is then the present, or until nothing can happen any more.
pub fn run_until(end: Moment) -> Stopped {
    let mut polls_now = 0;
    loop {
        while let Some(slot) = READY.with_borrow_mut(VecDeque::pop_front) {
            poll(slot);
            polls_now += 1;
            if polls_now > LIVELOCK_POLLS {
                return Stopped::Livelock;
            }
        }
        let fired = CORE.with_borrow_mut(|core| core.timers.next(end.as_nanos()));
        match fired {
            Some((deadline, waker)) => {
                if let Some(waker) = waker {
                    if deadline > NOW.get() {
                        NOW.set(deadline);
                        polls_now = 0;
                    }
                    waker.wake();
                }
            }
            None if CORE.with_borrow(|core| core.timers.heap.len() > 0) => {
                NOW.set(end.as_nanos().max(NOW.get()));
                return Stopped::AtEnd;
            }
            None => {
                // Time passes also where nothing happens; but nobody waits for the end of time.
                if end < Moment::MAX {
                    NOW.set(end.as_nanos().max(NOW.get()));
                }
                return Stopped::Idle;
            }
        }
    }
}

fn poll(slot: u32) {
    let taken = CORE.with_borrow_mut(|core| {
        let task = &mut core.tasks[slot as usize];
        if let Some(parked) = core.paused.get_mut(&task.owner) {
            // It stays marked as queued, so that it is parked once however often it is woken.
            parked.push(slot);
            return None;
        }
        task.waker.queued.store(false, Ordering::Relaxed);
        match std::mem::replace(&mut task.state, State::Running) {
            State::Waiting(future, waker) => Some((future, waker)),
            other => {
                task.state = other;
                None
            }
        }
    });
    let Some((mut future, waker)) = taken else { return };
    let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    let leftover = CORE.with_borrow_mut(|core| {
        let task = &mut core.tasks[slot as usize];
        if done || matches!(task.state, State::Doomed) {
            task.state = State::Free;
            core.free.push(slot);
            core.live -= 1;
            Some(future)
        } else {
            task.state = State::Waiting(future, waker);
            None
        }
    });
    drop(leftover);
}

/// Sleeps until a moment of virtual time.
#[derive(Debug)]
pub struct Sleep {
    deadline: Moment,
    key: Option<TimerKey>,
}

impl Sleep {
    /// A sleep until `deadline`; at once if that is past.
    pub fn until(deadline: Moment) -> Self {
        Sleep { deadline, key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.deadline {
            return Poll::Ready(());
        }
        match self.key {
            Some(key) => update_timer(key, context.waker()),
            None => self.key = Some(set_timer(self.deadline, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            cancel_timer(key);
        }
    }
}

/// Runs one future to its end in virtual time on this thread: for tests, benches and small models.
///
/// Returns `None` if it can't come to an end (it waits for something that never happens).
pub fn block_on<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    reset();
    let result = Arc::new(std::sync::Mutex::new(None));
    let slot = Arc::clone(&result);
    let done = Arc::new(AtomicBool::new(false));
    let finished = Arc::clone(&done);
    spawn(
        Owner(0),
        Box::pin(async move {
            let value = future.await;
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(value);
            finished.store(true, Ordering::Relaxed);
        }),
    );
    let mut end = Moment::from_nanos(1_000_000_000);
    while !done.load(Ordering::Relaxed) && run_until(end) == Stopped::AtEnd {
        end = end + end.since_start();
    }
    reset();
    result.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;
    use eastfall_topology::time::Span;
    use std::sync::Mutex;

    type Log = Arc<Mutex<Vec<(u64, &'static str)>>>;

    fn say(log: &Log, what: &'static str) {
        log.lock().expect("log").push((now().as_nanos(), what));
    }

    #[test]
    fn the_clock_jumps_to_the_nanosecond() {
        let end = block_on(async {
            Sleep::until(Moment::from_nanos(1)).await;
            Sleep::until(now() + Span::from_secs(100_000)).await;
            now()
        });
        assert_eq!(end, Some(Moment::from_nanos(100_000_000_000_001)));
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_they_were_set() {
        reset();
        let log = Log::default();
        for name in ["a", "b", "c"] {
            let log = Arc::clone(&log);
            spawn(
                Owner(1),
                Box::pin(async move {
                    Sleep::until(Moment::from_nanos(5)).await;
                    say(&log, name);
                }),
            );
        }
        assert_eq!(run_until(Moment::MAX), Stopped::Idle);
        assert_eq!(*log.lock().expect("log"), [(5, "a"), (5, "b"), (5, "c")]);
    }

    #[test]
    fn killing_an_owner_drops_its_tasks_and_no_others() {
        reset();
        let log = Log::default();
        for (owner, name) in [(Owner(1), "killed"), (Owner(2), "alive")] {
            let log = Arc::clone(&log);
            spawn(
                owner,
                Box::pin(async move {
                    Sleep::until(Moment::from_nanos(10)).await;
                    say(&log, name);
                }),
            );
        }
        run_until(Moment::from_nanos(5));
        kill(Owner(1));
        assert_eq!(task_count(), 1, "one task is left");
        run_until(Moment::from_nanos(20));
        assert_eq!(*log.lock().expect("log"), [(10, "alive")]);
    }

    #[test]
    fn a_paused_owner_does_nothing_until_it_is_resumed() {
        reset();
        let log = Log::default();
        let task_log = Arc::clone(&log);
        spawn(
            Owner(1),
            Box::pin(async move {
                Sleep::until(Moment::from_nanos(10)).await;
                say(&task_log, "late");
            }),
        );
        // Something that goes on, so that time does.
        spawn(Owner(2), Box::pin(async { Sleep::until(Moment::from_nanos(100)).await }));
        run_until(Moment::from_nanos(5));
        pause(Owner(1));
        run_until(Moment::from_nanos(50));
        assert_eq!(*log.lock().expect("log"), [], "paused");
        resume(Owner(1));
        run_until(Moment::from_nanos(60));
        assert_eq!(*log.lock().expect("log"), [(50, "late")]);
    }

    #[test]
    fn what_waits_for_ever_is_reported_as_idle() {
        assert_eq!(block_on(std::future::pending::<()>()), None);
    }
}
