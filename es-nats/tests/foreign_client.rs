//! Programs written without this project: Python, with its packages for NATS and protobuf, the `.proto` files, and the
//! subjects.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bank::{
    account::Accounts,
    bank::v1::{AccountCommandServiceServer, AccountQueryServiceServer, AccountRepository},
    read_models::{self, Queries},
};
use es_core::{EventLog, Filter, Runner, runner::Running};
use es_nats::{Nats, NatsServer, Relay, Serving};
use es_sqlite::SqliteStore;
use prost::Message;
use test_servers::Python;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Where the `.proto` files are that such a program is given.
fn protos() -> [PathBuf; 2] {
    ["../proto", "../examples/bank/proto"].map(|folder| Path::new(HERE).join(folder))
}

/// What a program that makes its messages while it runs is given.
fn descriptors() -> Vec<u8> {
    protox::compile(["bank/v1/account.proto", "eventsourcing/response.proto"], protos()).unwrap().encode_to_vec()
}

/// The bank, served.
struct Bank {
    server: test_servers::NatsServer,
    folder: tempfile::TempDir,
    store: SqliteStore,
    nats: Nats,
    running: Running,
    serving: Serving,
}

impl Bank {
    async fn serve() -> Self {
        let server = test_servers::NatsServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("bank.db")).await.unwrap();
        let balances = read_models::balances().build(&store).unwrap();
        let statements = read_models::statements().build(&store).unwrap();
        let running = Runner::new(store.clone()).run(balances.clone()).run(statements.clone()).start().unwrap();
        let nats = Nats::connect(server.url()).await.unwrap();
        let serving = NatsServer::new(&nats, &store)
            .serve(AccountCommandServiceServer::new(Accounts, AccountRepository::new(store.clone())))
            .serve(AccountQueryServiceServer::new(Queries { balances, statements }))
            .start()
            .await
            .unwrap();
        Self { server, folder, store, nats, running, serving }
    }
}

/// What a Python with these packages makes of something, which may fetch them first.
async fn with_python<T: Send + 'static>(
    packages: &'static [&'static str],
    work: impl FnOnce(Python) -> T + Send + 'static,
) -> T {
    let working = tokio::task::spawn_blocking(move || work(Python::with(packages).unwrap()));
    tokio::time::timeout(Duration::from_secs(300), working).await.unwrap().unwrap()
}

/// What a program prints that ends well.
fn said(program: &mut Command) -> String {
    let said = program.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_opens_an_account_and_reads_the_answers_and_the_errors() {
    let bank = Bank::serve().await;
    let file = bank.folder.path().join("descriptors");
    std::fs::write(&file, descriptors()).unwrap();
    let (url, script) = (bank.server.url(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_client.py"));
    let said = with_python(&["nats-py==2.16.0", "protobuf==7.36.2"], |python| {
        said(python.command().arg(script).arg(url).arg(file))
    });
    let account = said.await.trim().to_owned();

    let events = bank.store.read_all(0, 100, &Filter::all()).await.unwrap().events;
    let types: Vec<_> = events.iter().map(|event| &*event.meta.event_type).collect();
    assert_eq!(
        types,
        ["bank.v1.AccountOpened", "bank.v1.MoneyDeposited"],
        "each command once, and nothing of a refusal"
    );
    assert!(events.iter().all(|event| event.meta.stream.id.as_str() == account));
    let origin = events[1].meta.origin().unwrap();
    assert_eq!(origin.command_id.as_ref().unwrap().as_str(), "python-1");
    bank.serving.shutdown().await;
    bank.running.shutdown().await;
}

/// As the documentation says, with the stubs that it says how to make.
#[tokio::test(flavor = "multi_thread")]
async fn the_programs_of_the_documentation_call_a_service_and_follow_events() {
    let bank = Bank::serve().await;
    let relay = Relay::builder(&bank.nats).stream("bank").build(&bank.store).await.unwrap();
    let relaying = Runner::new(bank.store.clone()).run(relay).start().unwrap();

    let chapter = include_str!("../src/docs/another-language.md");
    let snippets: Vec<_> = chapter.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(snippets.len(), 2);
    let script = bank.folder.path().join("documented.py");
    let driver = include_str!("documented_driver.py");
    std::fs::write(&script, [&snippets.concat(), driver].concat()).unwrap();
    let (stubs, url) = (bank.folder.path().join("gen"), bank.server.url());
    std::fs::create_dir(&stubs).unwrap();
    let said = with_python(&["nats-py==2.16.0", "grpcio-tools==1.85.1"], move |python| {
        let mut protoc = python.command();
        protoc.args(["-m", "grpc_tools.protoc"]);
        protos().iter().for_each(|folder| _ = protoc.arg("-I").arg(folder));
        protoc.arg("--python_out").arg(&stubs).args(chapter.split_whitespace().filter(|word| word.ends_with(".proto")));
        said(&mut protoc);
        let mut program = python.command();
        let packages = program.get_envs().find(|(name, _)| *name == "PYTHONPATH").unwrap().1.unwrap().to_owned();
        let paths = std::env::join_paths([packages, stubs.into()]).unwrap();
        said(program.env("PYTHONPATH", paths).arg(script).arg(url))
    });
    let said = said.await;
    let account = bank.store.read_all(0, 1, &Filter::all()).await.unwrap().events[0].meta.stream.id.clone();
    assert_eq!(said, format!("{account} at version 1\nposition 2: 500 cents\nposition 3: 7 cents\n"));
    relaying.shutdown().await;
    bank.serving.shutdown().await;
    bank.running.shutdown().await;
}
