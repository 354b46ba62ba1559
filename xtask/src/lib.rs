//! Everything a developer runs: up, down, demo, test, generate.
