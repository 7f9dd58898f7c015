//! The schema's numbered steps. They only go forward, and a step that was released never changes.
//!
//! `user_version` counts the steps that were made, `application_id` says whose file it is.

use rusqlite::Connection;

use crate::StoreError;

/// Step n brings schema n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_identity.sql"),
    include_str!("migrations/0002_runs.sql"),
    include_str!("migrations/0003_calls.sql"),
    include_str!("migrations/0004_assets.sql"),
];

/// "TLST": what `file(1)` and we recognise the file by.
const APPLICATION_ID: u32 = 0x544c_5354;

/// Brings the schema up to date. Two processes that start together are safe: one waits for the other's transaction.
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    migrate_with(connection, MIGRATIONS)
}

fn migrate_with(connection: &Connection, migrations: &[&str]) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = steps(connection, migrations);
    // Dropping the connection after an error rolls back as well; saying it keeps the connection usable.
    connection.execute_batch(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    outcome
}

fn steps(connection: &Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: u32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(StoreError::NotOurs);
    }
    let known = u32::try_from(migrations.len()).expect("there are few migrations");
    if found > known {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    for step in &migrations[found as usize..] {
        connection.execute_batch(step)?;
    }
    if found < known {
        connection
            .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> u32 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("every database has one")
    }

    fn memory() -> Connection {
        Connection::open_in_memory().expect("memory is there")
    }

    #[test]
    fn migrations_run_once_and_in_order() {
        let connection = memory();
        let first = ["CREATE TABLE a (x INTEGER)"];
        let both = [first[0], "ALTER TABLE a ADD COLUMN y INTEGER"];
        migrate_with(&connection, &first).expect("a new file takes every step");
        assert_eq!(version(&connection), 1);
        migrate_with(&connection, &both).expect("the second step follows the first");
        migrate_with(&connection, &both).expect("an up-to-date file needs no step");
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_as_it_was() {
        let connection = memory();
        let broken = ["CREATE TABLE a (x INTEGER)", "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER)"];
        migrate_with(&connection, &broken[..1]).expect("the first step is good");
        assert!(matches!(migrate_with(&connection, &broken), Err(StoreError::Backend(_))));
        assert_eq!(version(&connection), 1);
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).expect("a count");
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let connection = memory();
        migrate(&connection).expect("a new file takes every step");
        let known = version(&connection);
        connection.execute_batch(&format!("PRAGMA user_version = {}", known + 1)).expect("a version can be set");
        assert_eq!(migrate(&connection), Err(StoreError::SchemaTooNew { found: known + 1, known }));
    }

    #[test]
    fn a_foreign_database_is_refused_and_left_alone() {
        let connection = memory();
        connection.execute_batch("CREATE TABLE theirs (x INTEGER)").expect("a table");
        assert_eq!(migrate(&connection), Err(StoreError::NotOurs));
        assert_eq!(version(&connection), 0);
    }

    #[test]
    fn a_room_of_before_calls_is_an_sfu_room() {
        let connection = memory();
        migrate_with(&connection, &MIGRATIONS[..2]).expect("the schema of before");
        connection
            .execute_batch(
                "INSERT INTO accounts (name, role, created_at) VALUES ('a', 'admin', 1);
                 INSERT INTO rooms (owner, name, title, open, created_at) VALUES (1, 'old', 'Old', 1, 1)",
            )
            .expect("a room");
        migrate(&connection).expect("the step to calls");
        let mode: String =
            connection.query_row("SELECT mode FROM rooms", [], |row| row.get(0)).expect("the room is still there");
        assert_eq!(mode, "sfu");
    }

    #[test]
    fn every_record_names_its_owner() {
        let connection = memory();
        migrate(&connection).expect("a new file takes every step");
        let mut tables = connection
            .prepare(
                "SELECT name FROM sqlite_schema AS t WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                 -- An account is an owner, a run is the server's own, and what belongs to a job or an asset alone is whose that is.
                 AND name NOT IN ('accounts', 'runs', 'job_blockers', 'job_attempts', 'renditions')
                 AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) AS c WHERE c.name = 'owner' AND c.\"notnull\")",
            )
            .expect("a valid query");
        let without: Vec<String> =
            tables.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("names");
        assert_eq!(without, Vec::<String>::new());
    }
}
