#![allow(warnings)]
use plimsoll_simulator::profile::*;
use plimsoll_simulator::*;
use std::collections::BTreeMap;
pub fn profiles(dir: &str) -> BTreeMap<String, ProfileText> {
    let mut all = BTreeMap::new();
    for e in std::fs::read_dir(dir).unwrap() {
        let p = e.unwrap().path();
        if !p.is_dir() {
            continue;
        }
        let mut t = ProfileText::default();
        for f in std::fs::read_dir(&p).unwrap() {
            let f = f.unwrap().path();
            let n = f.file_stem().unwrap().to_string_lossy().to_string();
            let text = || std::fs::read_to_string(&f).unwrap();
            if let Some(b) = n.strip_prefix("validation-") {
                t.validation.push((b.parse().unwrap(), text()));
            } else if let Some(k) = n.strip_prefix("placements") {
                let kind = if k.is_empty() { "t4" } else { &k[1..] };
                let s = std::fs::read_to_string(p.join(format!("scalability{k}.csv"))).unwrap_or_default();
                t.kinds.insert(kind.into(), (text(), s));
            }
        }
        all.insert(p.file_name().unwrap().to_string_lossy().to_string(), t);
    }
    all
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let cluster: Cluster = "t4=16x4".parse().unwrap();
    let kinds: Vec<String> = cluster.kinds.iter().map(|k| k.name.clone()).collect();
    let cat = Catalogue::read(&profiles(&a[1]), &kinds).unwrap();
    let w = workload::read_csv("w", &std::fs::read_to_string(&a[2]).unwrap()).unwrap();
    let o = simulate(&w, &cluster, &cat, &mut policy::Tiresias::default(), &Rules::POLLUX).unwrap();
    println!("{:?}", o.figures());
    for j in &o.jobs {
        println!("JOB {} {}", j.name, j.completion_seconds());
    }
}
