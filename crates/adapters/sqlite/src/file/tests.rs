use super::*;

/// What a machine that loses power keeps cannot be tested here; the settings that promise it can.
#[test]
fn every_commit_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("kubewise.db")).unwrap();
    let pragma = |name: &str| {
        store.writer.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
    };
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".into()));
}

#[test]
fn the_migrations_are_sound() {
    Migrations::from_slice(MIGRATIONS).validate().unwrap();
}
