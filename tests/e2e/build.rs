//! Says whether this machine can run a real node, so that tests on it are listed as ignored where it cannot.

#[path = "../cluster/build.rs"]
mod real_node;

fn main() {
    real_node::main();
}
