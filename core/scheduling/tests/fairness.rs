//! Laws of quota and fairness, over plans that are carried out in virtual time.

mod world;

use plimsoll_menu::{Candidate, ClassName};
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{Action, Job, Plan, Queue, Share, Snapshot, Standing, plan};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use world::random::snapshots;
use world::*;

/// A cluster that lives: jobs start when planned, end when they are done, and give back what they are told to.
struct Life {
    world: World,
    /// Seconds between two plans, and what a stopped job needs to give its devices back.
    cycle_seconds: i64,
    /// Seconds since it began, on a clock that starts at `now()`.
    clock: i64,
    /// GPU-seconds by queue in this cycle.
    used: BTreeMap<String, f64>,
    /// When jobs started first.
    started: BTreeMap<String, i64>,
}

impl Life {
    fn new(world: World, cycle_seconds: i64) -> Self {
        Self { world, cycle_seconds, clock: 0, used: BTreeMap::new(), started: BTreeMap::new() }
    }

    fn at(&self) -> i64 {
        100_000 + self.clock
    }

    /// Plans, has the plan inspected and carries it out; a cycle passes.
    fn cycle(&mut self) -> Plan {
        let now = at(self.at());
        let snapshot = self.world.snapshot();
        let plan = plan(&snapshot, now);
        let violations: Vec<String> = check(&snapshot, &plan, now).iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{violations:#?}");
        self.world = apply(self.world.clone(), &plan);
        for job in &mut self.world.jobs {
            if let (Action::Start { .. }, Standing::Placed(held)) = (decision(&plan, job), &mut job.standing) {
                held.since = now;
                self.started.entry(job.key.name.clone()).or_insert(self.clock);
            }
        }
        self.pass();
        plan
    }

    /// A cycle passes: steps are trained, who was told to has given back, and queues' use is written down.
    fn pass(&mut self) {
        self.clock += self.cycle_seconds;
        let seconds = self.cycle_seconds as f64;
        let now = at(self.at());
        for job in &mut self.world.jobs {
            let held = match &mut job.standing {
                Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } => held,
                _ => continue,
            };
            held.running = true;
            *self.used.entry(job.queue.clone()).or_default() += f64::from(held.shape.gpus()) * seconds;
            // A step takes a second.
            job.remaining_steps =
                job.remaining_steps.map(|steps| steps.saturating_sub(self.cycle_seconds.unsigned_abs()));
            match job.standing.clone() {
                Standing::Leaving(_) => {
                    job.standing = Standing::Waiting;
                    job.waiting_since = Some(now);
                }
                Standing::Moving { mut from, to } => {
                    (from.shape, from.nodes) = (to.shape, to.nodes);
                    job.standing = Standing::Placed(from);
                }
                _ => {}
            }
        }
        let half_life = self.world.rules.usage_half_life_seconds;
        for queue in &mut self.world.queues {
            let used = self.used.remove(&queue.name).unwrap_or(0.0);
            let kept = (-std::f64::consts::LN_2 * seconds / half_life).exp();
            let sum = queue.usage.entry(ClassName::new("t4")).or_default();
            *sum = *sum * kept + used;
            queue.usage_at = Some(now);
        }
        let done = |job: &Job| matches!(job.standing, Standing::Placed(_)) && job.remaining_steps == Some(0);
        self.world.jobs.retain(|job| !done(job));
    }

    fn waiting(&self, queue: &str) -> usize {
        self.world.jobs.iter().filter(|job| job.queue == queue && job.standing == Standing::Waiting).count()
    }

    /// Another job arrives.
    fn comes(&mut self, queue: &str, name: String, steps: u64, size: Candidate) -> &mut Job {
        let mut job = job(&name, self.at(), vec![size]);
        job.queue = queue.into();
        job.remaining_steps = Some(steps);
        self.world.jobs.push(job);
        self.world.jobs.last_mut().expect("it was pushed")
    }

    fn held(&self, queue: &str) -> u32 {
        let of_queue = self.world.jobs.iter().filter(|job| job.queue == queue);
        let held = of_queue.filter_map(|job| match &job.standing {
            Standing::Placed(held) => Some(held.shape.gpus()),
            _ => None,
        });
        held.sum()
    }
}

fn decision<'p>(plan: &'p Plan, job: &Job) -> &'p Action {
    action(plan, &job.key.name)
}

fn gang(pods: u32, gpus: u32) -> Candidate {
    candidate(shape("t4", pods, gpus), 1.0, true)
}

fn below_root(name: &str, share: Share) -> Queue {
    let classes = [(ClassName::new("t4"), share)].into();
    Queue { parent: Some("root".into()), classes: Some(classes), ..Queue::unlimited(name) }
}

fn root(nominal: u32) -> Queue {
    let classes = [(ClassName::new("t4"), Share::of(nominal))].into();
    Queue { classes: Some(classes), ..Queue::unlimited("root") }
}

/// A number below `below` that looks drawn by chance.
fn scattered(index: u64, below: u64) -> u64 {
    (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % below
}

#[test]
fn over_a_day_weights_are_honoured_within_two_percent() {
    let mut world = snapshot(fleet(20, "t4", 8), vec![]);
    let weights = [("one", 1.0), ("two", 2.0), ("three", 3.0)];
    world.queues = vec![root(160)];
    world.queues.extend(weights.map(|(name, weight)| Queue { weight, ..below_root(name, Share::of(0)) }));
    let mut life = Life::new(world, 300);
    let mut count = 0;
    while life.clock < 86_400 {
        for (queue, _) in weights {
            while life.waiting(queue) < 30 {
                count += 1;
                // One or two devices for 20 to 70 minutes.
                let steps = 1200 + 300 * scattered(count, 11);
                let gpus = 1 + u32::try_from(scattered(count, 2)).expect("small");
                life.comes(queue, format!("j{count}"), steps, gang(1, gpus));
            }
        }
        life.cycle();
    }
    // With a half-life of a week a day's use decays alike for all.
    let used = weights.map(|(name, weight)| {
        let queue = life.world.queues.iter().find(|queue| queue.name == name).expect("it is there");
        queue.usage[&ClassName::new("t4")] / weight
    });
    let mean = used.iter().sum::<f64>() / 3.0;
    for used in used {
        assert!((used / mean - 1.0).abs() < 0.02, "{used} of {mean}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nominal_quota_is_regained_within_one_grace_period(
        nominal in 1_u32..12,
        wants in 1_usize..14,
        borrowers in prop::collection::vec((1_u32..4, 0_u32..3), 6..16),
    ) {
        let mut world = snapshot(fleet(4, "t4", 4), vec![]);
        let rest = 16 - nominal;
        world.queues = vec![root(0), below_root("owner", Share::of(nominal)), below_root("other", Share::of(rest))];
        let mut life = Life::new(world, 60);
        for (index, (gpus, pods)) in borrowers.iter().enumerate() {
            life.comes("other", format!("b{index}"), 1_000_000, gang(1 + pods, *gpus));
        }
        life.cycle();
        for index in 0..wants {
            life.comes("owner", format!("o{index}"), 1_000_000, gang(1, 1));
        }
        life.cycle();
        life.cycle();
        let held = life.held("owner");
        let due = nominal.min(u32::try_from(wants).expect("small"));
        prop_assert!(held >= due, "{held} of {due}");
    }

    #[test]
    fn nobody_preempts_back_who_was_preempted(world in snapshots()) {
        let first = plan(&world.snapshot(), now());
        let mut gave: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for decision in &first.decisions {
            if let Action::Preempt { for_job, .. } = &decision.action {
                gave.entry(decision.job.to_string()).or_default().insert(for_job.to_string());
            }
        }
        let mut world = apply(world, &first);
        for _ in 0..2 {
            for job in &mut world.jobs {
                match &mut job.standing {
                    Standing::Leaving(_) if gave.contains_key(&job.key.to_string()) => {
                        job.standing = Standing::Waiting;
                        job.waiting_since = Some(now());
                    }
                    Standing::Placed(held) => held.running = true,
                    _ => {}
                }
            }
            let next = plan(&world.snapshot(), now());
            for decision in &next.decisions {
                if let Action::Preempt { for_job, .. } = &decision.action {
                    let back = gave.get(&for_job.to_string()).is_some_and(|to| to.contains(&decision.job.to_string()));
                    prop_assert!(!back, "{for_job} takes back of {}", decision.job);
                }
            }
            world = apply(world, &next);
        }
    }

    #[test]
    fn nobody_fares_worse_for_a_job_behind_it(world in snapshots()) {
        let mut world = world;
        world.jobs.iter_mut().for_each(|job| job.queue = "q".into());
        // One more at the end of the line.
        let mut last = job("last", 99_999, vec![gang(1, 2), gang(1, 1)]);
        last.priority = -100;
        let alone = world.snapshot();
        world.jobs.push(last);
        let with = world.snapshot();
        let with_last = plan(&with, now());
        // Sizes are chosen for all together, and were chosen before it came.
        let without = plan(&Snapshot { sizes: with_last.sizes.clone(), ..alone }, now());
        for before in &without.decisions {
            if let Action::Start { candidate: before_candidate, .. } = &before.action {
                let after = with_last.decisions.iter().find(|after| after.job == before.job).expect("it is decided");
                // On which nodes may differ: what all jobs ask for says which pieces of nodes are worth keeping whole.
                let same = matches!(&after.action, Action::Start { candidate, .. } if candidate == before_candidate);
                prop_assert!(same, "{:?}\nthen {:?}", before, after);
            }
        }
    }
}

#[test]
fn a_wide_gang_of_low_priority_does_not_starve_behind_endless_small_jobs() {
    for (other_queue, bound) in [(false, 7200.0), (true, 7200.0)] {
        let mut world = snapshot(fleet(4, "t4", 4), vec![]);
        world.rules.starvation_bound_seconds = bound;
        world.queues = vec![root(16), below_root("small", Share::of(0)), below_root("wide", Share::of(0))];
        let mut life = Life::new(world, 60);
        let mut count = 0;
        while !life.started.contains_key("wide") && life.clock < 20_000 {
            while life.waiting("small") < 20 {
                count += 1;
                let steps = 300 + 60 * scattered(count, 40);
                life.comes("small", format!("s{count}"), steps, gang(1, 1)).priority = 10;
            }
            if life.clock == 1800 {
                life.comes(if other_queue { "wide" } else { "small" }, "wide".into(), 600, gang(4, 4));
            }
            life.cycle();
        }
        let waited = life.started.get("wide").map(|at| at - 1800);
        // At once in a queue of its own; else once it is past the bound. Then the longest of 45 minutes ends first.
        let most = if other_queue { 2700 } else { 7200 + 2700 } + 2 * life.cycle_seconds;
        assert!(waited.is_some_and(|waited| waited <= most), "{waited:?} of {most}");
    }
}
