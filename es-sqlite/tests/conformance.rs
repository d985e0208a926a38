//! The promises every store makes, shown for this one.

es_core::event_store_conformance!(async {
    let folder = tempfile::tempdir().unwrap();
    let store = es_sqlite::SqliteStore::open(folder.path().join("store.db")).await.unwrap();
    (store, folder)
});
