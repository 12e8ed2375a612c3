//! How many interpreters there may be, in number and in memory, and which of them give way.

use std::cell::Cell;

use super::*;

#[test]
fn ten_at_once_and_the_eleventh() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(10, 99, EVICTABLE_AFTER);
        let sessions: Vec<_> = (0..11).map(|_| session(&fake, &places)).collect();
        let came = join_all(sessions.iter().take(10).map(|session| run(session, "wait 1"))).await;
        assert!(came.into_iter().all(|came| value(came) == 1));
        // All ten are idle, and not for long.
        let eleventh = &sessions[10];
        let start = now();
        let why = run(eleventh, "count").await.unwrap_err();
        assert!(matches!(&why, SandboxError::Busy(_)), "{why}");
        assert!(why.to_string().contains("all 10 interpreters are in use"), "{why}");
        assert!(now() - start < PLACE_TIME + Duration::from_secs(1));
        // A run that is dropped while it waits leaves nothing behind.
        let_go(eleventh, "count", PackageSet::default(), Duration::from_secs(1)).await;
        sessions[3].end();
        assert_eq!(value(run(eleventh, "count").await), 1);
        // Another waits for one to end, and gets its place.
        let twelfth = session(&fake, &places);
        let ending = async {
            sleep(Duration::from_secs(5)).await;
            sessions[4].end();
        };
        assert_eq!(value(futures::join!(run(&twelfth, "count"), ending).0), 1);
        assert_eq!(fake.0.alive.get(), 10);
        // One that has been idle for long is ended, and its session goes on.
        sleep(EVICTABLE_AFTER / 2).await;
        for session in sessions.iter().skip(1).chain([&twelfth]) {
            let _ = run(session, "count").await;
        }
        sleep(EVICTABLE_AFTER / 2).await;
        let start = now();
        assert_eq!(value(run(&session(&fake, &places), "count").await), 1);
        assert!(now() - start < Duration::from_secs(1), "at once");
        assert!(!sessions[0].is_alive());
        assert_eq!(run(&sessions[0], "count").await.unwrap(), (Some(RESTARTED), 1.into()));
        assert_eq!(fake.0.alive.get(), 10);
    });
}

#[test]
fn who_has_most_makes_room_for_who_has_less() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(4, 4, EVICTABLE_AFTER);
        let of =
            |owner| SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false);
        let rich: Vec<_> = (0..4).map(|_| of(1)).collect();
        for session in &rich {
            run(session, "count").await.unwrap();
        }
        let start = now();
        let fresh = Fresh::new(fake.clone(), places.clone(), Snapshots::default());
        assert_eq!(value(run(&fresh, "count").await), 1);
        let poor = [of(2), of(2), of(2)];
        for session in &poor[..2] {
            assert_eq!(value(run(session, "count").await), 1);
        }
        assert!(now() - start < Duration::from_secs(1), "at once");
        assert_eq!(rich.iter().filter(|session| session.is_alive()).count(), 2);
        // Both have as many: a third would be one more than the other has.
        assert!(matches!(run(&poor[2], "count").await, Err(SandboxError::Busy(_))));
    });
}

#[test]
fn a_session_that_needs_packages_keeps_its_place() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(1, 99, EVICTABLE_AFTER);
        let one = session(&fake, &places);
        run(&one, "write kept").await.unwrap();
        let other = session(&fake, &places);
        let waiting = other.clone();
        spawn(Box::pin(async move { drop(run(&waiting, "count").await) }));
        sleep(BOOT).await;
        assert_eq!(run_with(&one, "read", &["a"]).await.unwrap(), (Some(MORE_PACKAGES), "kept".into()));
        fake.0.lose_all();
        assert_eq!(run(&one, "read").await.unwrap(), (Some(RESTARTED), "".into()));
    });
}

#[test]
fn those_that_died_give_their_places_at_once() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(2, 2, EVICTABLE_AFTER);
        let sessions: Vec<_> = (0..3).map(|_| session(&fake, &places)).collect();
        for session in &sessions[..2] {
            run(session, "count").await.unwrap();
        }
        fake.0.lose_all();
        let start = now();
        assert_eq!(value(run(&sessions[2], "count").await), 1);
        assert!(now() - start < Duration::from_secs(1));
    });
}

#[test]
fn one_owner_cannot_have_all_places() {
    check(async {
        let fake = Fake::default();
        let places = Places::limited(10, 8, EVICTABLE_AFTER);
        let of =
            |owner| SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false);
        let own: Vec<_> = (0..12).map(|_| of(1)).collect();
        for session in &own {
            assert_eq!(run(session, "count").await.unwrap(), (None, 1.into()));
        }
        assert_eq!(fake.0.alive.get(), 8);
        let alive: Vec<_> = own.iter().map(Session::is_alive).collect();
        assert_eq!(alive[..4], [false; 4], "those that were idle for longest went");
        let start = now();
        assert_eq!(value(run(&of(2), "count").await), 1);
        assert!(now() - start < Duration::from_secs(1));
    });
}

#[test]
fn where_all_hold_too_much_idle_ones_that_hold_most_go_first() {
    virtual_clock::run(async {
        let fake = Fake::default();
        let world = fake.0.clone();
        world.memory.set(10);
        let measured = world.clone();
        // Their number is not limited.
        let places = Places::default().with_memory(50, Rc::new(move || measured.held()));
        let [small, large, busy] = [0, 1, 2].map(|owner| {
            SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false)
        });
        for _ in 0..3 {
            assert!(run(&large, "count").await.is_ok());
        }
        assert!(run(&small, "count").await.is_ok());
        sleep(Duration::from_secs(10)).await;
        assert_eq!((world.held(), world.alive.get()), (40, 2), "it is not too much");
        let mut going = busy.run(request("wait 100"), PackageSet::default());
        assert!(matches!(going.next().await, Some(Ok(RunEvent::Began))));
        assert!(run(&small, "count").await.is_ok());
        sleep(Duration::from_millis(500)).await;
        assert_eq!(world.held(), 30, "the one that held most, though another was idle for longer");
        assert_eq!((small.is_alive(), large.is_alive(), busy.is_alive()), (true, false, true));
        // A busy one stays, however much it holds; once it is idle, it goes.
        world.memory.set(30);
        assert!(run(&large, "count").await.is_ok());
        sleep(Duration::from_secs(10)).await;
        assert_eq!((small.is_alive(), large.is_alive(), busy.is_alive()), (false, false, true));
        world.memory.set(60);
        while going.next().await.is_some() {}
        drop(going);
        sleep(Duration::from_secs(2)).await;
        assert_eq!((world.held(), busy.is_alive()), (0, false));
    });
}

#[test]
fn whoever_comes_waits_while_idle_ones_give_back_what_all_hold_too_much() {
    virtual_clock::run(async {
        for (given_back, least, most) in [(true, 1900, 2100), (false, 2900, 3100)] {
            let fake = Fake::default();
            let all = Rc::new(Cell::new(0));
            let measured = all.clone();
            let places = Places::default().with_memory(50, Rc::new(move || measured.get()));
            let [one, two, three, comes] = [0, 1, 2, 3].map(|owner| {
                SessionInterpreter::new(fake.clone(), places.clone(), Snapshots::default(), owner, GRACE, false)
            });
            for session in [&one, &two, &three] {
                assert!(run(session, "count").await.is_ok());
            }
            all.set(100);
            let (start, alive) = (now(), fake.0.clone());
            let later = async {
                sleep(Duration::from_secs(2)).await;
                all.set(if given_back { 40 } else { 100 });
            };
            let (ran, ()) = futures::join!(run(&comes, "count"), later);
            assert!(ran.is_ok());
            let waited = (now() - start).as_millis();
            assert!((least..most).contains(&waited), "{waited} ms");
            assert_eq!(alive.alive.get(), if given_back { 2 } else { 1 });
        }
    });
}
