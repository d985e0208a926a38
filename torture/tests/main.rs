//! The torture suite: every way to lose an event that we can think of, tried.

mod cancelled;
mod commands;
mod crowd;
mod faults;
mod held_reader;
mod hostile;
mod kill;
mod panics;
mod power_cut;
mod read_models;
mod runtimes;
mod shutdown;
mod steps;
mod support;
mod traps;
