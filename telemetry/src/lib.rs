//! Tracing set-up, metric registry, admin server and shutdown for every Plimsoll process.
