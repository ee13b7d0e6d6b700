//! A lease that this system cannot have written: the schema refuses it, or the store reports it as corrupt and never
//! uses it.

use crate::{Case, LeaseColumn, Process, Scene, StateStores, Tamper, Value, cases};
use domain::id::{ID_LEN_MAX, InstanceId};
use domain::ports::StoreError;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_column_that_is_null_is_corrupt_and_named,
        a_number_out_of_range_is_corrupt_and_named,
        a_holder_is_shown_escaped_and_cut,
        a_resign_reason_is_shown_cut,
    )
}

async fn write(scene: &Scene, column: LeaseColumn, value: Value) -> bool {
    scene.tamper(Tamper::Lease { group: scene.group().clone(), column, value }).await.is_ok()
}

async fn assert_corrupt(process: &Process, column: LeaseColumn, value: &Value) {
    match process.state.observe().await {
        Err(StoreError::Corrupt(message)) => {
            assert!(message.contains(column.name()), "{message:?} names {}", column.name());
        }
        other => panic!("{} = {value}, yet: {other:?}", column.name()),
    }
}

async fn a_column_that_is_null_is_corrupt_and_named(scene: Scene) {
    use LeaseColumn::{Claim, Epoch, Released, Seq, Timeline, TtlMs};
    for column in [Timeline, Epoch, Claim, Seq, Released, TtlMs] {
        let scene = scene.neighbour();
        let process = scene.process("a").await;
        process.lead().await;
        if write(&scene, column, Value::Null).await {
            assert_corrupt(&process, column, &Value::Null).await;
        } else {
            process.read_lease().await;
        }
    }
}

async fn a_number_out_of_range_is_corrupt_and_named(scene: Scene) {
    use LeaseColumn::{Epoch, Seq, Timeline, TtlMs};
    // A value in range first: it shows that the statement works, so a refusal comes from the constraint.
    let columns: [(LeaseColumn, i64, &[i64]); 4] = [
        (Timeline, 1, &[-1, i64::from(u32::MAX) + 1, i64::MAX]),
        (Epoch, 41, &[-1, i64::MIN]),
        (Seq, 42, &[-1, i64::MIN]),
        (TtlMs, 1_000, &[-1, 0, 999, 300_001, i64::MAX]),
    ];
    for (column, fine, hostile) in columns {
        for number in hostile {
            let scene = scene.neighbour();
            let process = scene.process("a").await;
            process.lead().await;
            assert!(write(&scene, column, Value::Number(fine)).await, "{} = {fine}", column.name());
            process.read_lease().await;
            let value = Value::Number(*number);
            if write(&scene, column, value.clone()).await {
                assert_corrupt(&process, column, &value).await;
            } else {
                process.read_lease().await;
            }
        }
    }
}

async fn a_holder_is_shown_escaped_and_cut(scene: Scene) {
    let process = scene.process("a").await;
    process.lead().await;
    let hostile = ["<script>alert(1)</script>", "a\u{1b}[2J\r\nb", "'; DROP TABLE x; --", "ünïcode ₹", ""];
    let long = "x".repeat(200);
    for text in hostile.into_iter().chain([long.as_str()]) {
        if write(&scene, LeaseColumn::Holder, Value::Text(text.to_owned())).await {
            let holder = process.read_lease().await.holder;
            assert_eq!(holder, Some(InstanceId::from_stored(text)));
            assert!(holder.is_some_and(|holder| holder.as_str().len() <= ID_LEN_MAX));
        } else {
            process.read_lease().await;
        }
    }
}

async fn a_resign_reason_is_shown_cut(scene: Scene) {
    let process = scene.process("a").await;
    process.lead().await;
    if write(&scene, LeaseColumn::Resign, Value::Text("y".repeat(10_000))).await {
        assert_eq!(
            process.read_lease().await.resign,
            Some("y".repeat(256)),
            "the length that a request keeps"
        );
    } else {
        process.read_lease().await;
    }
}
