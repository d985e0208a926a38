//! Eight processes on one file: no error but `Busy`, and that one only after the time that was asked for.

use std::time::{Duration, Instant};

use es_core::Error;
use es_sqlite::SqliteStore;
use torture::{
    checker::Checker,
    child::{self, Start, argument},
    effort,
    journal::Journal,
    table::Row,
    test_name, work,
};

use crate::support::{folder, run};

const FILE: &str = "TORTURE_FILE";
const NAME: &str = "TORTURE_NAME";
const SECONDS: &str = "TORTURE_SECONDS";
const BUSY: Duration = Duration::from_millis(400);

#[test]
fn one_of_a_crowd() {
    if child::role().is_none() {
        return;
    }
    run(async {
        let (file, name) = (argument(FILE), argument(NAME));
        let journal = Journal::in_file(format!("{file}.{name}.history"));
        let mut rng = fastrand::Rng::new();
        let store = loop {
            match SqliteStore::builder(&file).busy_timeout(BUSY).open().await {
                Ok(store) => break store,
                Err(Error::Busy { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        };
        let end = Instant::now() + Duration::from_secs(argument(SECONDS).parse().unwrap());
        let (mut stored, mut busy) = (0, 0);
        for number in 0.. {
            if Instant::now() >= end && stored > 0 {
                break;
            }
            let start = Instant::now();
            match work::by_lot(&mut rng, &name, number).append(&store, &journal).await {
                Ok(_) => stored += 1,
                Err(Error::Busy { waited }) => {
                    assert_eq!(waited, BUSY);
                    assert!(start.elapsed() >= BUSY, "busy after {:?}", start.elapsed());
                    busy += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        println!("\nstored {stored} {busy}");
        store.shutdown().await.unwrap();
    });
}

#[test]
fn eight_processes_on_one_file_meet_nothing_worse_than_a_busy_store() {
    let test = "eight processes";
    let (_folder, path) = folder();
    let mut checker = Checker::new();
    run(async {
        SqliteStore::open(&path).await.unwrap().shutdown().await.unwrap();
        let start = |child: u32| {
            let start = Start::new(test_name!(one_of_a_crowd), "appends").argument(FILE, &path);
            start.argument(NAME, format!("p{child}")).argument(SECONDS, effort::times(2, 10).to_string()).start()
        };
        let children: Vec<_> = (0..8).map(start).collect();
        let mut shares = Vec::new();
        for child in children {
            let (status, said, complained) = child.end();
            assert!(status.success(), "{said}\n{complained}");
            let line = said.lines().find_map(|line| line.strip_prefix("stored ")).expect("a child says what it did");
            shares.push(line.to_owned());
        }
        println!("{test}: commits and busy answers of each: {}", shares.join(", "));
        for child in 0..8 {
            checker.learn(Journal::read(format!("{}.p{child}.history", path.display())));
        }
        let store = SqliteStore::open(&path).await.unwrap();
        checker.check_whole(&store).await;
    });
    Row { rounds: 1, acknowledged: checker.acknowledged(), ..Row::default() }.close(test, checker.violations());
}
