//! The promises every store of checkpoints makes, shown for this one.

es_core::checkpoint_store_conformance!(async |clock| {
    let folder = tempfile::tempdir().unwrap();
    let store = es_sqlite::SqliteStore::builder(folder.path().join("store.db")).clock(clock).open().await.unwrap();
    (store, folder)
});
