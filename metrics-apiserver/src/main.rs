//! The process: starts the server or a subcommand and turns the outcome into an exit code.

fn main() {}
