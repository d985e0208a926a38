//! What can't be brought about from outside: works that share a batch, a disk that fills up, a panic.

use std::{sync::mpsc, time::Duration};

use es_core::{AggregateId, Appended, Commit, Expected, NewEvent, Retry, StreamKey, SystemClock};

use super::{batch::*, queue::Reply, *};
use crate::blocking::wait;

/// A writer on a file of its own.
struct Bench {
    _folder: tempfile::TempDir,
    queue: Arc<Queue>,
    head: watch::Receiver<u64>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bank.db");
        let head = watch::Sender::new(0);
        let receiver = head.subscribe();
        let setup = Setup {
            place: Arc::new(Place { path, busy_timeout: Duration::from_secs(1) }),
            durability: Durability::Full,
            create: true,
            clock: Arc::new(SystemClock),
            head,
            answers_since: Arc::default(),
        };
        let (queue, _) = wait(start(setup)).unwrap();
        Self { _folder: folder, queue: Arc::new(queue), head: receiver }
    }

    /// Runs something on the writer's connection.
    fn run<T: Send + 'static>(
        &self,
        run: impl FnMut(&Connection, &Guard) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        wait(self.queue.submit_now(|reply| Box::new(Task::new(run, reply))))
    }

    fn append(&self, id: &str, bytes: usize) -> Result<Appended, Error> {
        wait(self.queue.submit(bytes, None, |reply| Box::new(Append::new(commit(id, bytes), reply))))
            .and_then(|done| done.into_answer())
    }

    /// Appends, all in one batch with work of the test's own in their middle.
    fn append_around(&self, work: impl FnOnce(Reply<()>) -> Box<dyn Work> + Send + 'static) -> Vec<Result<(), Error>> {
        let (release, held) = mpsc::channel::<()>();
        let queue = Arc::clone(&self.queue);
        let holding = std::thread::spawn(move || {
            wait(queue.submit_now(|reply| Box::new(Task::new(move |_, _| Ok(held.recv().is_ok()), reply))))
        });
        let mut threads = Vec::new();
        let mut work = Some(work);
        for n in 0..9 {
            std::thread::sleep(Duration::from_millis(5));
            let queue = Arc::clone(&self.queue);
            let own = if n == 4 { work.take() } else { None };
            threads.push(std::thread::spawn(move || match own {
                Some(work) => wait(queue.submit_now(work)),
                None => {
                    let append = |reply| Box::new(Append::new(commit(&format!("s{n}"), 10), reply)) as Box<dyn Work>;
                    wait(queue.submit(10, None, append)).map(|_| ())
                }
            }));
        }
        std::thread::sleep(Duration::from_millis(20));
        release.send(()).unwrap();
        assert!(holding.join().unwrap().unwrap());
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn commit(id: &str, bytes: usize) -> Commit {
    let stream = StreamKey::new(None, "bank.v1.Account", AggregateId::new(id).unwrap());
    Commit::append(stream, Expected::Any, vec![NewEvent::raw("bank.v1.Noted", vec![7; bytes])])
}

/// Work that does something unforeseen.
struct Rogue<F>(F, Option<Reply<()>>);

impl<F: FnMut(&mut Transaction<'_>) -> Result<(), Broken> + Send> Work for Rogue<F> {
    fn apply(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Broken> {
        self.1.as_mut().unwrap().start();
        (self.0)(transaction)
    }

    fn answer(mut self: Box<Self>) {
        self.1.take().unwrap().send(Ok(()));
    }

    fn fail(mut self: Box<Self>, error: Error) {
        self.1.take().unwrap().send(Err(error));
    }
}

fn only_the_fifth_fails(answers: &[Result<(), Error>]) -> &Error {
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n == 4, "{n}: {answer:?}");
    }
    answers[4].as_ref().unwrap_err()
}

#[test]
fn a_statement_that_fails_in_the_middle_takes_down_its_own_work_only() {
    let bench = Bench::new();
    let answers = bench.append_around(|reply| {
        let half_written = |transaction: &mut Transaction<'_>| {
            let connection = transaction.connection;
            connection.execute("INSERT INTO es_types (name) VALUES ('half')", ()).unwrap();
            connection.execute("INSERT INTO es_types (name) VALUES ('half')", ()).map_err(Broken::by("testing"))?;
            Ok(())
        };
        Box::new(Rogue(half_written, Some(reply)))
    });
    assert!(matches!(only_the_fifth_fails(&answers), Error::Database { .. }));
    assert_eq!(*bench.head.borrow(), 8);
    let half = bench.run(|connection, _| {
        Ok(connection.query_row("SELECT count(*) FROM es_types WHERE name = 'half'", (), |row| row.get::<_, i64>(0)))
    });
    assert_eq!(half.unwrap().unwrap(), 0);
}

#[test]
fn a_statement_that_ends_the_transaction_takes_down_its_own_work_only() {
    let bench = Bench::new();
    let answers = bench.append_around(|reply| {
        let ending = |transaction: &mut Transaction<'_>| {
            transaction.connection.execute_batch("ROLLBACK").unwrap();
            Ok(())
        };
        Box::new(Rogue(ending, Some(reply)))
    });
    only_the_fifth_fails(&answers);
    assert_eq!(*bench.head.borrow(), 8);
}

#[test]
fn a_panic_on_the_writers_thread_hangs_no_one_and_the_writer_goes_on() {
    let bench = Bench::new();
    let answers =
        bench.append_around(|reply| Box::new(Rogue(|_: &mut Transaction<'_>| panic!("a defect"), Some(reply))));
    for answer in &answers {
        // Some were started, and others not yet: none is told that it was done.
        assert!(matches!(answer, Err(Error::OutcomeUnknown { .. } | Error::ShuttingDown) | Ok(())), "{answer:?}");
    }
    assert!(answers[4].is_err());
    let before = *bench.head.borrow();
    bench.append("after", 10).unwrap();
    assert_eq!(*bench.head.borrow(), before + 1);
}

#[test]
fn a_full_disk_is_said_to_be_full_until_there_is_room_again() {
    let bench = Bench::new();
    bench.append("a", 10).unwrap();
    let pages = |count: u32| {
        move |connection: &Connection, _: &Guard| {
            connection.pragma_update(None, "max_page_count", count).unwrap();
            Ok(connection.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0)).unwrap())
        }
    };
    let used = bench.run(pages(1_000_000)).unwrap();
    bench.run(pages(used + 10)).unwrap();
    let error = bench.append("big", 200_000).unwrap_err();
    assert!(matches!(error, Error::StorageFull { .. }), "{error}");
    assert_eq!(error.retry(), Retry::Safe);
    // What fits still goes in, also beside what does not.
    bench.append("b", 10).unwrap();
    let answers = bench.append_around(|reply| {
        let big = |transaction: &mut Transaction<'_>| {
            let insert = "INSERT INTO es_types (name) VALUES (hex(zeroblob(100000)))";
            transaction.connection.execute(insert, ()).map(|_| ()).map_err(Broken::by("testing"))
        };
        Box::new(Rogue(big, Some(reply)))
    });
    assert!(matches!(only_the_fifth_fails(&answers), Error::StorageFull { .. }));
    bench.run(pages(1_000_000)).unwrap();
    bench.append("big", 200_000).unwrap();
    assert_eq!(*bench.head.borrow(), 11);
}

#[test]
fn a_writer_that_can_not_begin_says_busy_and_goes_on_when_it_can() {
    let bench = Bench::new();
    bench.append("a", 10).unwrap();
    let path = bench.run(|connection, _| Ok(connection.path().unwrap().to_owned())).unwrap();
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = bench.append("a", 10).unwrap_err();
    assert!(matches!(error, Error::Busy { waited } if waited == Duration::from_secs(1)), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    bench.append("a", 10).unwrap();
}

#[test]
fn a_lone_caller_stays_in_place_also_when_snapshots_are_offered() {
    let bench = Bench::new();
    let writer = || std::thread::current().name() == Some("es-sqlite writer");
    let mut on_the_thread = 0;
    for n in 0..200 {
        let (told, seen) = mpsc::channel();
        let append = |reply| {
            let note = move |_: &mut Transaction<'_>| {
                told.send(writer()).unwrap();
                Ok(())
            };
            Box::new(Rogue(note, Some(reply))) as Box<dyn Work>
        };
        wait(bench.queue.submit(10, None, append)).unwrap();
        on_the_thread += u32::from(seen.recv().unwrap());
        if n % 10 == 0 {
            let note = |_: &mut Transaction<'_>| Ok(());
            bench.queue.offer(10, || Box::new(Rogue(note, Some(Reply::nobody()))));
        }
    }
    // The thread looks around now and then; a caller that meets it just then is queued.
    assert!(on_the_thread < 20, "{on_the_thread} of 200");
}
