//! The rules as a table, and the authority against a store in memory with a clock of its own.

mod authority;
mod rules;
