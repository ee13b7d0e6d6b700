//! What the work of a leader may rely on: it starts with a leadership and ends with it, and so does what it started.

use super::{PATIENCE, eventually, opening, reached, start};
use contract::fake::{FakeDatabase, Fault};
use coordinator::{Coordinator, Leader, LeadershipOver};
use domain::member::MemberState;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::test]
async fn the_work_may_change_what_it_borrows_from_one_leadership_to_the_next() {
    let coordinator = start(&FakeDatabase::new(), &opening("borrows"));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let mut epochs = Vec::new();
    let work = coordinator.run_while_leader(async |leader: Leader| {
        epochs.push(leader.epoch());
        if epochs.len() == 1 {
            begun.send(()).expect("the test listens");
            std::future::pending::<()>().await;
        }
    });
    let hand_over = async {
        begins.recv().await.expect("the work lives");
        coordinator.step_down("the test").await.expect("it leads");
    };
    let (ended, ()) = eventually("it leads twice", async { tokio::join!(work, hand_over) }).await;
    assert_eq!((ended, epochs.len()), (Ok(()), 2));
    assert!(epochs[0] < epochs[1], "{epochs:?}");
    coordinator.shutdown().await;
}

/// A leader whose work has handed out its [`Leader`] and runs until it is dropped.
async fn leading(coordinator: &Coordinator) -> Leader {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let worker = coordinator.clone();
    tokio::spawn(async move {
        let work = worker.run_while_leader(async move |leader: Leader| {
            // Of two terms the test needs the first.
            let _ = begun.send(leader);
            std::future::pending::<()>().await;
        });
        work.await
    });
    eventually("the work begins", begins.recv()).await.expect("the work lives")
}

#[tokio::test]
async fn the_deadline_moves_with_each_renewal_and_ends_with_the_leadership() {
    let coordinator = start(&FakeDatabase::new(), &opening("deadline"));
    assert!(!coordinator.is_leader(), "nothing was claimed yet");
    let leader = leading(&coordinator).await;
    assert!(coordinator.is_leader());
    let first = leader.deadline().expect("it leads");
    let later = async {
        while leader.deadline().expect("it leads") <= first {
            tokio::task::yield_now().await;
        }
    };
    eventually("a renewal", later).await;
    assert!(leader.token().is_ok());
    coordinator.step_down("the test").await.expect("it leads");
    assert_eq!(leader.deadline(), Err(LeadershipOver));
    assert_eq!(leader.token(), Err(LeadershipOver));
    assert!(!coordinator.is_leader());
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_task_that_waits_for_the_loss_is_woken_by_a_handover() {
    let coordinator = start(&FakeDatabase::new(), &opening("handover"));
    let leader = leading(&coordinator).await;
    let task = tokio::spawn(async move { leader.lost().await });
    coordinator.step_down("the test").await.expect("it leads");
    eventually("the task ends", task).await.expect("no panic");
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_task_that_waits_for_the_loss_is_woken_before_another_instance_leads() {
    let database = FakeDatabase::new();
    let opening = opening("cut-off");
    let store = database.process(&opening);
    let faults = store.faults().clone();
    let first = Coordinator::builder(store).start().expect("a valid start");
    let leader = leading(&first).await;
    let second = start(&database, &super::opening("successor"));
    reached(&second, MemberState::Standby).await;
    faults.lasting(Fault::HangBefore);
    let task = tokio::spawn(async move { leader.lost().await });
    reached(&second, MemberState::Active).await;
    assert!(task.is_finished(), "it still waited when another instance led");
    faults.heal();
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test]
async fn a_task_that_the_work_spawned_is_cancelled_with_the_work_and_not_with_the_next() {
    let coordinator = start(&FakeDatabase::new(), &opening("spawns"));
    let leader = leading(&coordinator).await;
    let (task, other) = (leader.cancellation_token(), leader.cancellation_token());
    other.cancel();
    assert!(!task.is_cancelled(), "a task that cancels its own token cancels no other");
    coordinator.step_down("the test").await.expect("it leads");
    assert!(task.is_cancelled(), "the lease is released after the work and its tasks were stopped");
    assert!(leader.cancellation_token().is_cancelled(), "a token that is taken too late");
    let next = eventually(
        "it leads again",
        coordinator.run_while_leader(async |leader: Leader| {
            (leader.cancellation_token().is_cancelled(), leader.cancellation_token())
        }),
    );
    let (was_cancelled, token) = next.await.expect("it leads");
    assert!(!was_cancelled);
    assert!(token.is_cancelled(), "the work has returned");
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_leader_whose_coordinator_is_gone_is_lost() {
    let coordinator = start(&FakeDatabase::new(), &opening("gone"));
    let leader = leading(&coordinator).await;
    coordinator.shutdown().await;
    drop(coordinator);
    let lost = timeout(PATIENCE, leader.lost()).await;
    assert!(lost.is_ok(), "it waits for a coordinator that is gone");
}
