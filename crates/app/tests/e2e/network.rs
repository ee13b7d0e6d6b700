//! Tests of a group whose instances are on different hosts: clients find the leader by its advertised address.

use crate::TTL;
use crate::database::Database;
use crate::group::{Group, THREE};
use crate::hosts::Hosts;
use crate::servers::Servers;
use crate::signals::submission;
use crate::wait::until;
use serde_json::Value;
use testkit::http::{self, Response};

/// A GET from the test's host; `None` if no instance answers there.
fn get(address: &str, path: &str) -> Option<Response> {
    http::request(address, "GET", path, &[], "").ok()
}

fn submit(address: &str, id: &str) -> u16 {
    let (json, body) = ([("Content-Type", "application/json")], submission(id, id).to_string());
    http::request(address, "POST", "/signals", &json, &body).expect("it listens").status
}

fn host_of(name: &str) -> usize {
    THREE.iter().position(|one| *one == name).expect("one of three")
}

#[test]
fn three_hosts_find_their_leader_by_its_address() {
    let hosts = Hosts::new();
    let servers = Servers::start();
    let (redis, postgres) = (hosts.reach(&servers.redis.url()), hosts.reach(&servers.url));
    let stores =
        ["--redis", &redis, "--redis-tls", "insecure", "--postgres", &postgres, "--postgres-tls", "insecure"];
    let mut group = Group::new(TTL, |_| Database::Postgres(servers.url.clone()), &stores);
    let ttl = format!("{}ms", TTL.as_millis());
    for (host, name) in THREE.into_iter().enumerate() {
        let launch = hosts.launch(host, name).argument("--leader-ttl").argument(&ttl);
        let launch = stores.into_iter().fold(launch, testkit::process::Launch::argument);
        group.start_as(name, &launch);
    }
    let address = |name: &str| hosts.address(host_of(name));
    let answers = |name: &str, path: &str| {
        until(&format!("{name} answers {path}"), || {
            get(&address(name), path).filter(|answer| answer.status == 200)
        })
    };
    // Whatever instance a client queries, it names the address at which the leader answers.
    let found_from = |name: &str, leader: &str| {
        let url = format!("http://{}", address(leader));
        until(&format!("{name} knows that {leader} leads at {url}"), || {
            let answer = get(&address(name), "/leader")?;
            let (who, at) =
                (answer.header("coordinator-leader"), answer.header("coordinator-leader-address"));
            (who == Some(leader) && at == Some(&url)).then_some(())
        });
        answers(leader, "/leader");
    };
    for name in THREE {
        answers(name, "/readyz");
    }
    let first = group.wait_lead(0);
    let others: Vec<&str> = THREE.into_iter().filter(|name| *name != first.name).collect();
    found_from(others[0], &first.name);
    found_from(others[1], &first.name);
    assert_eq!(submit(&address(others[0]), "s-1"), 201, "a follower accepts signals");
    assert_eq!(answers(others[1], "/signals/s-1").json()["id"], "s-1");

    let urls = THREE.map(|name| Value::from(format!("http://{}", address(name))));
    until("every address is in the status", || {
        let status = answers(others[0], "/status").json();
        let listed = status["instances"].as_array().expect("a list").iter().map(|one| one["address"].clone());
        (listed.collect::<Vec<_>>() == urls).then_some(())
    });
    let status = group.carry_out(&["status", "--json"]).json();
    assert_eq!(status["instances"][0]["address"], urls[0], "{status}");
    let page = answers(others[0], "/").body;
    assert!(page.contains(&format!("http://{}", address(&first.name))), "{page}");

    let foreign = http::request(&address(others[0]), "GET", "/status", &[("Host", "desk.example")], "");
    let foreign = foreign.expect("it listens");
    assert!(foreign.status == 403 && foreign.body.contains("allowed_hosts"), "{foreign:?}");

    group.process(&first.name).kill();
    let next = group.wait_lead(first.epoch);
    let follower = others.into_iter().find(|name| *name != next.name).expect("one is left");
    found_from(follower, &next.name);
    assert_eq!(submit(&address(follower), "s-2"), 201);
    assert_eq!(answers(&next.name, "/signals/s-2").json()["id"], "s-2");
    group.finish();
}
