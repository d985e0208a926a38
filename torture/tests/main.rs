//! The torture suite: every way to lose an event that we can think of, tried.

mod cancelled;
mod commands;
mod crowd;
mod delayed;
mod faults;
mod held_reader;
mod hostile;
mod kill;
mod owners;
mod panics;
mod partitions;
mod power_cut;
mod reactions;
mod reactors;
mod read_models;
mod runtimes;
mod shutdown;
mod steps;
mod support;
mod tally;
mod traps;
