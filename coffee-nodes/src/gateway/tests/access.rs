//! Who is let in, whose jobs are there for whom, and what one client can take from others.

use std::{
    fs,
    io::Read,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::support::*;
use crate::{
    access::{Owner, TokensFile},
    gateway::Gateway,
    wire::{Refusal, ToClient, ToGateway},
};

const ALICE: &str = "alice-has-this-token";
const BOB: &str = "bob-has-that-token";
const OLGA: &str = "olga-operates-the-cluster";

/// A cluster that asks for tokens.
fn with_tokens() -> Cluster {
    let mut cluster = Cluster::on("memory:", false, 4);
    let file = cluster.state().join("tokens");
    write(&file, &format!("client alice {ALICE}\nclient bob {BOB}\noperator olga {OLGA}"));
    cluster.options.tokens = Some(TokensFile::open(&file).unwrap());
    cluster
}

/// Puts a file there that only its user can read.
fn write(file: &Path, text: &str) {
    let aside = file.with_extension("aside");
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&aside, file).unwrap();
}

impl Peer {
    fn named(gateway: &Gateway, token: &str) -> Self {
        let mut peer = Self::stranger(gateway);
        assert_eq!(peer.hello(Some(token)), ToClient::Welcome);
        peer
    }

    fn is_refused(&mut self, message: &ToGateway) -> Refusal {
        match self.ask(message) {
            ToClient::Refused { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    fn jobs(&mut self) -> Vec<(u64, Option<Owner>)> {
        match self.ask(&ToGateway::List) {
            ToClient::Jobs { jobs } => jobs.into_iter().map(|summary| (summary.job.number, summary.owner)).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_shows_no_token_or_another_is_not_let_in() {
    let cluster = with_tokens();
    let gateway = cluster.gateway();
    for wrong in [None, Some(""), Some("alice"), Some("alice-has-this-toke"), Some("Alice-has-this-token")] {
        let mut peer = Peer::stranger(&gateway);
        let refused = peer.hello(wrong);
        assert!(matches!(refused, ToClient::Refused { code: Refusal::Denied, .. }), "{wrong:?}: {refused:?}");
        assert_eq!(peer.last_word(), None, "and closed");
    }
    assert_eq!(Peer::named(&gateway, ALICE).ask(&ToGateway::Ping), ToClient::Pong);
    gateway.stop(soon()).unwrap();
}

#[test]
fn tokens_change_while_the_gateway_works_and_who_is_in_stays() {
    let cluster = with_tokens();
    let gateway = cluster.gateway();
    let mut alice = Peer::named(&gateway, ALICE);
    let other = "alice-has-a-new-token";
    write(&cluster.state().join("tokens"), &format!("client alice {other}"));
    eventually("the new token is known", || Peer::stranger(&gateway).hello(Some(other)) == ToClient::Welcome);
    let refused = Peer::stranger(&gateway).hello(Some(ALICE));
    assert!(matches!(refused, ToClient::Refused { code: Refusal::Denied, .. }), "{refused:?}");
    assert_eq!(alice.ask(&ToGateway::Ping), ToClient::Pong);
    gateway.stop(soon()).unwrap();
}

#[test]
fn anothers_job_is_not_there_for_a_client_and_an_operator_sends_no_data_for_it() {
    let cluster = with_tokens();
    let (first, second) = (cluster.gateway(), cluster.gateway());
    let spec = cluster.spec("sales");
    let mut alice = Peer::named(&first, ALICE);
    let job = alice.begin(&spec);
    alice.start(job, &spec);
    let mut bob = Peer::named(&second, BOB);
    let other = coffee_core::frame::JobId { number: 99, ..job };
    let all = [
        ToGateway::Describe { job },
        ToGateway::Cancel { job },
        ToGateway::Results { job, have: Vec::new() },
        ToGateway::Start { job, spec: spec.clone() },
    ];
    for message in all {
        assert_eq!(bob.is_refused(&message), Refusal::UnknownJob, "{message:?}");
    }
    let ToClient::Refused { text: hers, .. } = bob.ask(&ToGateway::Describe { job }) else { panic!() };
    let ToClient::Refused { text: nobodys, .. } = bob.ask(&ToGateway::Describe { job: other }) else { panic!() };
    assert_eq!(hers.replace(&job.to_string(), ""), nobodys.replace(&other.to_string(), ""), "nothing tells them apart");
    assert_eq!(bob.jobs(), []);
    let bobs = bob.begin(&spec);
    assert_eq!(bob.jobs(), [(bobs.number, None)]);

    let mut olga = Peer::named(&second, OLGA);
    let named = |name: &str| Some(Owner::Named(name.to_owned()));
    assert_eq!(olga.jobs(), [(job.number, named("alice")), (bobs.number, named("bob"))]);
    assert_eq!(olga.is_refused(&ToGateway::Start { job, spec: spec.clone() }), Refusal::Denied);
    // Her session is the one that it was.
    alice.chunk(0, b"rows").unwrap();
    alice.finish(1);
    while !alice.acked(0) {}
    assert!(
        matches!(olga.ask(&ToGateway::Cancel { job: bobs }), ToClient::Job { summary, .. } if summary.state.is_ended())
    );
    first.stop(soon()).unwrap();
    second.stop(soon()).unwrap();
}

#[test]
fn who_fetches_anothers_results_does_not_shorten_their_time() {
    let cluster = with_tokens();
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let mut alice = Peer::named(&gateway, ALICE);
    let job = alice.begin(&spec);
    alice.start(job, &spec);
    alice.finish(0);
    assert!(alice.acked(0));
    drop(alice);
    ["large-sales", "rejected"].into_iter().for_each(|sink| cluster.complete(job, sink, 1));
    cluster.done(job);
    // Olga has a session of what has ended, too, or goes without.
    for (token, starts, taken) in [(OLGA, true, 0), (OLGA, false, 0), (ALICE, false, 1)] {
        let mut peer = Peer::named(&gateway, token);
        if starts {
            peer.start(job, &spec);
        }
        peer.say(&ToGateway::Results { job, have: vec![] });
        for number in 1..=2 {
            assert!(matches!(peer.next(), ToClient::Piece { last: true, .. }));
            peer.say(&ToGateway::Took { pieces: number });
        }
        assert!(matches!(peer.next(), ToClient::Ended { .. }));
        peer.say(&ToGateway::Bye);
        assert_eq!(peer.last_word(), None);
        eventually("its owner has it", || cluster.shelf.taken.load(Ordering::SeqCst) >= taken);
    }
    gateway.stop(soon()).unwrap();
    assert_eq!(cluster.shelf.taken.load(Ordering::SeqCst), 1);
}

#[test]
fn a_clients_connections_are_counted_and_so_are_those_of_strangers() {
    let mut cluster = with_tokens();
    cluster.options.limits.connections = NonZeroUsize::new(3).unwrap();
    let gateway = cluster.gateway();
    let hers: Vec<Peer> = (0..3).map(|_| Peer::named(&gateway, ALICE)).collect();
    let refused = Peer::stranger(&gateway).hello(Some(ALICE));
    assert!(matches!(refused, ToClient::Refused { code: Refusal::Full, .. }), "{refused:?}");
    let _his = Peer::named(&gateway, BOB);
    let _operators: Vec<Peer> = (0..5).map(|_| Peer::named(&gateway, OLGA)).collect();
    // Who says nothing has to go before its time once there are more of its kind.
    let begin = Instant::now();
    let mut silent: Vec<_> = (0..10).map(|_| socket(&gateway)).collect();
    for stream in &mut silent[..7] {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let _another = Peer::named(&gateway, OLGA);
    drop(hers);
    eventually("there is room again", || {
        let mut peer = Peer::stranger(&gateway);
        peer.sender.send(&ToGateway::Hello { token: Some(ALICE.to_owned()) }, &[]).is_ok()
            && matches!(peer.receiver.next(), Ok((ToClient::Welcome, 0)))
    });
    gateway.stop(soon()).unwrap();
}

#[test]
fn strangers_keep_nobody_out() {
    for (most, each) in [(3, 64), (3, 3), (3, 2)] {
        let mut cluster = with_tokens();
        cluster.options.max_connections = most;
        cluster.options.limits.connections = NonZeroUsize::new(each).unwrap();
        let gateway = cluster.gateway();
        let mut silent: Vec<_> = (0..10).map(|_| socket(&gateway)).collect();
        let mut known = [ALICE, BOB].map(|token| Peer::named(&gateway, token));
        silent.extend((0..10).map(|_| socket(&gateway)));
        let mut last = silent.pop().unwrap();
        for stream in &mut silent {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let mut greeting = [0; 8];
        assert!(last.read_exact(&mut greeting).is_ok(), "the newest has the place that is left");
        known.iter_mut().for_each(|peer| assert_eq!(peer.ask(&ToGateway::Ping), ToClient::Pong));
        known[0] = Peer::named(&gateway, OLGA);
        gateway.stop(soon()).unwrap();
    }
}

#[test]
fn what_changes_jobs_counts_as_ten_requests() {
    let mut cluster = with_tokens();
    cluster.options.limits.requests = NonZeroU32::new(20).unwrap();
    let gateway = cluster.gateway();
    let mut alice = Peer::named(&gateway, ALICE);
    let begin = Instant::now();
    (0..20).for_each(|_| assert_eq!(alice.jobs(), []));
    assert!(begin.elapsed() < Duration::from_millis(900), "{:?}", begin.elapsed());
    let begin = Instant::now();
    let spec = cluster.spec("sales");
    for _ in 0..2 {
        alice.begin(&spec);
    }
    assert!(begin.elapsed() > Duration::from_millis(800), "{:?}", begin.elapsed());
    gateway.stop(soon()).unwrap();
}

#[test]
fn who_asks_without_end_is_slowed_down_and_refused_and_others_get_on() {
    let mut cluster = with_tokens();
    cluster.options.limits.requests = NonZeroU32::new(20).unwrap();
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    thread::scope(|scope| {
        let floods: Vec<_> = (0..50)
            .map(|_| {
                let (mut bob, spec) = (Peer::named(&gateway, BOB), spec.clone());
                scope.spawn(move || {
                    let (mut busy, begin) = (0, Instant::now());
                    while begin.elapsed() < Duration::from_secs(3) {
                        let begin = ToGateway::Begin { request: fastrand::u128(..), spec: spec.clone() };
                        let answer = bob.ask(if fastrand::bool() { &begin } else { &ToGateway::List });
                        busy += u64::from(matches!(answer, ToClient::Refused { code: Refusal::Busy, .. }));
                    }
                    busy
                })
            })
            .collect();
        let begin = Instant::now();
        let mut alice = Peer::named(&gateway, ALICE);
        let job = alice.begin(&spec);
        assert_eq!(alice.start(job, &spec).len(), 1, "it runs at once, however many of his wait");
        (0..50).for_each(|seq| alice.chunk(seq, &[7; 10_000]).unwrap());
        alice.finish(50);
        cluster.frames("read.0", 51);
        while !alice.acked(0) {}
        assert!(begin.elapsed() < Duration::from_secs(3), "she waits for his flood: {:?}", begin.elapsed());
        let busy: u64 = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
        assert!(busy > 5, "only {busy} were refused");
    });
    assert!(Peer::named(&gateway, OLGA).jobs().len() <= 17, "his sixteen and hers");
    gateway.stop(soon()).unwrap();
}

#[test]
fn an_upload_is_held_back_and_not_cut_off() {
    let mut cluster = with_tokens();
    cluster.options.limits.upload = NonZeroU64::new(1_000_000);
    cluster.options.ping = Duration::from_millis(200);
    let gateway = cluster.gateway();
    let spec = cluster.spec("sales");
    let send = |token: &str, chunks: u64| {
        let mut client = Peer::named(&gateway, token);
        let job = client.begin(&spec);
        client.start(job, &spec);
        let begin = Instant::now();
        (0..chunks).for_each(|seq| client.chunk(seq, &[7; 500_000]).unwrap());
        client.finish(chunks);
        let mut pings = 0;
        loop {
            match client.receiver.next::<ToClient>().unwrap().0 {
                ToClient::Ping => pings += 1,
                ToClient::Acked { finished: true, .. } => return (begin.elapsed(), pings),
                ToClient::Acked { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| send(BOB, 6));
        let (hers, _) = send(ALICE, 1);
        assert!(hers < Duration::from_secs(1), "within her own second: {hers:?}");
        let (his, pings) = slow.join().unwrap();
        assert!(his >= Duration::from_millis(1900), "three seconds' worth, one of them at once: {his:?}");
        assert!(pings >= 2, "{pings} pings");
        let (operators, _) = send(OLGA, 6);
        assert!(operators < Duration::from_millis(1900), "{operators:?}");
    });
    gateway.stop(soon()).unwrap();
}

#[test]
fn no_more_bytes_are_taken_than_the_manifest_says_over_all_sessions() {
    let cluster = with_tokens();
    let gateway = cluster.gateway();
    let mut spec = cluster.spec("sales");
    spec.manifest.tables[0].files[0].bytes = 1000;
    let mut client = Peer::named(&gateway, ALICE);
    let job = client.begin(&spec);
    client.start(job, &spec);
    client.chunk(0, &[7; 600]).unwrap();
    client.acked(1);
    drop(client);
    eventually("the mark is known", || {
        let mut client = Peer::named(&gateway, ALICE);
        client.start(job, &spec)[0].bytes == 600
    });
    let mut client = Peer::named(&gateway, ALICE);
    client.start(job, &spec);
    client.chunk(1, &[7; 400]).unwrap();
    client.acked(2);
    client.chunk(2, &[7; 1]).unwrap();
    assert_eq!(client.last_word(), Some(Refusal::Protocol));
    gateway.stop(soon()).unwrap();
}
