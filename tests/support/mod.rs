//! What the test targets share: devices, inputs, tolerances, comparison, the table of operations, and
//! the runner that counts GPU rows.

#![allow(dead_code, reason = "each test target uses its part of the harness")]

pub mod check;
pub mod compare;
pub mod devices;
pub mod inputs;
pub mod row;
pub mod runner;
pub mod table;
pub mod tolerance;
