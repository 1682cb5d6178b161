//! Many large requests at once: the ceiling of the process holds, nobody waits for ever, and nobody is overtaken for ever.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sarsen_bucket::{Budget, Ceiling, Exceeded, Filling, Held, Limits, Purpose, Timer, Wait};

/// What a request does, one step after the other.
#[derive(Debug, Clone)]
enum Step {
    /// Asks for room and keeps it.
    Hold(u64),
    /// Gives the oldest room back.
    Drop,
    /// Hands the oldest room to the client, who takes it some time later.
    Send,
    /// Gives back all but a part of the newest room.
    Shrink(u64),
    /// Lets others work.
    Pause,
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..70).prop_map(Step::Hold),
        2 => Just(Step::Drop),
        1 => Just(Step::Send),
        1 => (0u64..30).prop_map(Step::Shrink),
        2 => Just(Step::Pause),
    ];
    prop::collection::vec(step, 0..12)
}

/// What all requests have in common.
#[derive(Default)]
struct World {
    /// Steps that were taken: while it rises, somebody gets on.
    steps: Cell<u64>,
    /// Room that clients have not yet taken.
    sent: RefCell<Vec<Held>>,
    /// Requests by when they first asked for room, and by when they first got some.
    asked: RefCell<Vec<usize>>,
    got: RefCell<Vec<(usize, u64)>>,
    refused: Cell<u64>,
    round: Cell<u64>,
}

async fn pause() {
    let mut paused = false;
    std::future::poll_fn(move |context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn request(number: usize, script: Vec<Step>, ceiling: Ceiling, world: Rc<World>) {
    let budget = Budget::new(Limits::default(), &ceiling);
    let (mut held, mut first): (Vec<Held>, bool) = (Vec::new(), true);
    for step in script {
        world.steps.set(world.steps.get() + 1);
        match step {
            Step::Hold(bytes) => {
                let newcomer = first && bytes > 0;
                first &= !newcomer;
                if newcomer {
                    world.asked.borrow_mut().push(number);
                }
                let Ok(room) = budget.hold(bytes).await else {
                    world.refused.set(world.refused.get() + 1);
                    return;
                };
                assert_eq!(room.bytes(), bytes);
                if newcomer {
                    world.got.borrow_mut().push((number, world.round.get()));
                }
                held.push(room);
            }
            Step::Drop if !held.is_empty() => drop(held.remove(0)),
            Step::Send if !held.is_empty() => world.sent.borrow_mut().push(held.remove(0).on_its_way()),
            Step::Shrink(bytes) => held.last_mut().into_iter().for_each(|room| room.shrink(bytes)),
            _ => pause().await,
        }
    }
    world.steps.set(world.steps.get() + 1);
}

proptest! {
    #[test]
    fn requests_end_and_the_ceiling_holds(
        scripts in prop::collection::vec(script(), 1..10),
        total in 60u64..200,
        given_up in prop::option::of((0usize..10, 1u64..20)),
    ) {
        let (ceiling, world) = (Ceiling::new(total), Rc::new(World::default()));
        let mut tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>> = Vec::new();
        for (number, script) in scripts.into_iter().enumerate() {
            tasks.push(Some(Box::pin(request(number, script, ceiling.clone(), world.clone()))));
        }
        let mut context = Context::from_waker(Waker::noop());
        let (mut idle, mut gave_up) = (0, false);
        for round in 0u64.. {
            let before = world.steps.get();
            world.round.set(round);
            let mut open = 0;
            for task in &mut tasks {
                if let Some(work) = task {
                    if work.as_mut().poll(&mut context).is_ready() {
                        *task = None;
                    } else {
                        open += 1;
                    }
                }
                prop_assert!(ceiling.used() <= total);
            }
            if open == 0 {
                break;
            }
            // Somebody gives up in the middle, whatever it is waiting for.
            if let Some((number, when)) = given_up && when == round && let Some(task) = tasks.get_mut(number) {
                gave_up |= task.take().is_some();
                continue;
            }
            let taken = world.sent.borrow_mut().pop().is_some();
            // Who is let in notices a round later.
            idle = if taken || world.steps.get() > before { 0 } else { idle + 1 };
            prop_assert!(idle < 3, "all wait: {:?}", ceiling.filling());
        }
        // Newcomers got in in the order in which they asked. They notice when it is their turn to work, a round later at most.
        let got = world.got.borrow();
        let round = |number: &usize| got.iter().find(|(own, _)| own == number).map(|(_, round)| *round);
        let rounds: Vec<u64> = world.asked.borrow().iter().filter_map(round).collect();
        for (place, earlier) in rounds.iter().enumerate() {
            prop_assert!(rounds[place..].iter().all(|later| *earlier <= later + 1), "{:?}", rounds);
        }
        world.sent.borrow_mut().clear();
        let filling = ceiling.filling();
        prop_assert_eq!((filling.used, filling.waiting), (0, 0));
        prop_assert!(filling.peak <= total);
        // Who gave up may have been refused just then, and not have noticed.
        let unnoticed = filling.refused.checked_sub(world.refused.get());
        prop_assert!(unnoticed.is_some_and(|calls| calls <= u64::from(gave_up)), "{unnoticed:?}");
    }
}

#[test]
fn large_requests_on_many_threads_stay_below_the_ceiling() {
    const TOTAL: u64 = 1000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let ceiling = Ceiling::new(TOTAL);
    let work = |seed: u64| {
        let ceiling = ceiling.clone();
        async move {
            let budget = Budget::new(Limits::default(), &ceiling);
            let mut held = Vec::new();
            let mut done = 0;
            for round in 0..50u64 {
                let bytes = seed.wrapping_mul(7919).wrapping_add(round * 104_729) % 400;
                match budget.hold(bytes).await {
                    Ok(room) => held.push(room),
                    Err(error) => {
                        assert!(matches!(error, Exceeded::Memory { ceiling: TOTAL, .. }));
                        held.clear();
                    }
                }
                assert!(ceiling.used() <= TOTAL);
                if round % 3 == 2 {
                    held.clear();
                    done += 1;
                }
                tokio::task::yield_now().await;
            }
            done
        }
    };
    let tasks: Vec<_> = (0..40).map(|seed| runtime.spawn(work(seed))).collect();
    for task in tasks {
        assert_eq!(runtime.block_on(task).unwrap(), 16);
    }
    let filling = ceiling.filling();
    assert_eq!((filling.used, filling.waiting), (0, 0));
    assert!(filling.peak <= TOTAL && filling.peak > TOTAL / 2, "{filling:?}");
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_the_younger_is_refused() {
    let ceiling = Ceiling::new(100);
    let (elder, younger) =
        (Budget::new(Limits::default(), &ceiling), Budget::new(Limits::default(), &ceiling));
    let held = elder.hold(60).await.unwrap();
    let room = younger.hold(30).await.unwrap();
    let more = tokio::spawn({
        let elder = elder.clone();
        async move { elder.hold(20).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(
        younger.hold(20).await.unwrap_err().to_string(),
        "allocate chunk bytes: pool exhausted: 20 bytes beside what other requests hold of 100"
    );
    drop(room);
    assert_eq!(more.await.unwrap().unwrap().bytes(), 20);
    drop(held);
    // More than there can ever be is refused at once; alone with too much already, too.
    assert!(elder.hold(101).await.is_err());
    let _held = elder.hold(60).await.unwrap();
    assert!(elder.hold(60).await.is_err());
    assert_eq!(ceiling.filling().refused, 3);
}

/// One request waits for room with one hand and works with the other: it is given time, but not for ever.
#[tokio::test]
async fn a_patient_ceiling_refuses_when_nothing_moves() {
    let time = Arc::new(Hand::default());
    let ceiling = Ceiling::patient(100, time.clone(), Duration::from_secs(1));
    let budget = Budget::new(Limits::default(), &ceiling);
    let (kept, passing) = (budget.hold(50).await.unwrap(), budget.hold(40).await.unwrap());
    let ask = |bytes| {
        let budget = budget.clone();
        tokio::spawn(async move { budget.hold(bytes).await })
    };
    let turn = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    let first = ask(30);
    turn().await;
    assert_eq!(ceiling.filling().waiting, 1, "an impatient ceiling would have refused");
    drop(passing);
    assert_eq!(first.await.unwrap().unwrap().bytes(), 30);
    let second = ask(60);
    turn().await;
    time.pass();
    turn().await;
    assert_eq!(ceiling.filling(), Filling { used: 50, peak: 90, waiting: 0, refused: 1 });
    assert!(second.await.unwrap().is_err());
    // While others move it waits on.
    let (third, other) = (ask(60), Budget::new(Limits::default(), &ceiling));
    turn().await;
    assert_eq!(ceiling.filling().waiting, 1);
    let newcomer = tokio::spawn(async move { other.hold(10).await });
    turn().await;
    drop(kept);
    turn().await;
    assert_eq!(third.await.unwrap().unwrap().bytes(), 60);
    assert_eq!(newcomer.await.unwrap().unwrap().bytes(), 10);
}

/// Waits end when the hand moves.
#[derive(Default)]
struct Hand(tokio::sync::Notify);

impl Hand {
    fn pass(&self) {
        self.0.notify_waiters();
    }
}

impl Timer for Hand {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _duration: Duration) -> Wait<'_> {
        Box::pin(self.0.notified())
    }
}

#[tokio::test]
async fn bytes_on_their_way_to_the_client_are_waited_for() {
    let ceiling = Ceiling::new(100);
    let budget = Budget::new(Limits::default(), &ceiling);
    let mut sent = budget.hold(80).await.unwrap();
    let rest = sent.split(30);
    let sent = sent.on_its_way();
    assert_eq!((sent.bytes(), rest.bytes()), (50, 30));
    let next = tokio::spawn({
        let budget = budget.clone();
        async move { budget.hold(60).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(ceiling.filling().waiting, 1);
    drop(sent);
    assert_eq!(next.await.unwrap().unwrap().bytes(), 60);
    drop(rest);
    assert_eq!(ceiling.used(), 0);
}

#[test]
fn limits_speak_as_thanos_does() {
    let ceiling = Ceiling::new(0);
    let budget = Budget::new(Limits { series: 3, samples: 250, bytes: 10 }, &ceiling);
    assert_eq!(budget.take_series(3), Ok(()));
    let error = budget.take_series(2).unwrap_err();
    assert_eq!(error.to_string(), "exceeded series limit: limit 3 violated (got 5)");
    assert_eq!(error.reason(), "series");
    // 250 samples are two chunks.
    assert_eq!(budget.take_chunks(2), Ok(()));
    assert_eq!(
        budget.take_chunks(1).unwrap_err().to_string(),
        "exceeded chunks limit: limit 2 violated (got 3)"
    );
    assert_eq!(
        budget.take_bytes(11, Purpose::Postings).unwrap_err().to_string(),
        "exceeded bytes limit while fetching postings: limit 10 violated (got 11)"
    );
    assert_eq!(budget.taken(), (5, 3, 11));
    let free = Budget::unlimited();
    assert!(free.take_series(u64::MAX).is_ok() && free.take_bytes(u64::MAX, Purpose::Chunks).is_ok());
}
