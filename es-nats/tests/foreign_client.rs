//! A client written without this project: Python, with the packages `nats-py` and `protobuf`, the `.proto` files, and the
//! subjects.

use std::{path::Path, time::Duration};

use bank::{
    account::Accounts,
    bank::v1::{AccountCommandServiceServer, AccountQueryServiceServer, AccountRepository},
    read_models::{self, Queries},
};
use es_core::{EventLog, Filter, Runner};
use es_nats::{Nats, NatsServer};
use es_sqlite::SqliteStore;
use prost::Message;
use test_servers::Python;

/// What a program in another language is given: the messages, described.
fn descriptors() -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("../proto"), here.join("../examples/bank/proto")];
    protox::compile(["bank/v1/account.proto", "eventsourcing/response.proto"], folders).unwrap().encode_to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_opens_an_account_and_reads_the_answers_and_the_errors() {
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

    let file = folder.path().join("descriptors");
    std::fs::write(&file, descriptors()).unwrap();
    let (url, script) = (server.url(), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign_client.py"));
    let client = tokio::task::spawn_blocking(move || {
        let mut python = Python::with(&["nats-py==2.16.0", "protobuf==7.36.2"]).unwrap().command();
        python.arg(script).arg(url).arg(file).output().unwrap()
    });
    // The packages are fetched the first time.
    let said = tokio::time::timeout(Duration::from_secs(300), client).await.unwrap().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let account = String::from_utf8(said.stdout).unwrap().trim().to_owned();

    let events = store.read_all(0, 100, &Filter::all()).await.unwrap().events;
    let types: Vec<_> = events.iter().map(|event| &*event.meta.event_type).collect();
    assert_eq!(
        types,
        ["bank.v1.AccountOpened", "bank.v1.MoneyDeposited"],
        "each command once, and nothing of a refusal"
    );
    assert!(events.iter().all(|event| event.meta.stream.id.as_str() == account));
    let origin = events[1].meta.origin().unwrap();
    assert_eq!(origin.command_id.as_ref().unwrap().as_str(), "python-1");
    serving.shutdown().await;
    running.shutdown().await;
}
