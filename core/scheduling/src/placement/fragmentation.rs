//! How many of a node's free GPUs are of no use to the pods that are expected: FGD's measure.
//!
//! Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023.
//! For a node `n` with `r_g` of each GPU `g` left and a task `m` that asks for `d` of a GPU, its fragments are
//!
//! ```text
//! F_n(m) = Σ_g r_g                   when m does not fit on n
//! F_n(m) = Σ_g r_g over r_g < d      when it does
//! F_n(M) = Σ_m p_m F_n(m)            over the target workload M, in which m has the share p_m
//! ```
//!
//! A pod goes where it adds the least to `F_n(M)` (their Algorithm 1).

/// Thousandths of a GPU in a whole one.
pub const WHOLE_GPU_MILLI: u32 = 1000;

/// A kind of pod that is expected on nodes of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// GPUs; 0 for a pod without.
    pub gpus: u32,
    /// Of each of them, in thousandths, 1 to 1000.
    pub gpu_milli: u32,
    /// CPU, in thousandths of a core.
    pub cpu_milli: u64,
    /// Host memory in bytes.
    pub memory_bytes: u64,
    /// How often it is expected beside the others; above 0, in any unit.
    pub weight: f64,
}

/// What a node has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room<'d> {
    /// GPUs of which nothing is taken.
    pub whole_gpus: u32,
    /// What is left of each GPU of which something is taken, in thousandths, 0 to 999.
    pub shared_milli: &'d [u32],
    /// CPU, in thousandths of a core.
    pub cpu_milli: i64,
    /// Host memory in bytes.
    pub memory_bytes: i64,
}

impl Room<'_> {
    /// All that is left of its GPUs, in thousandths.
    pub fn gpu_milli(&self) -> u32 {
        self.whole_gpus * WHOLE_GPU_MILLI + self.shared_milli.iter().sum::<u32>()
    }

    /// Whether a pod of this kind fits.
    pub fn fits(&self, wish: &Wish) -> bool {
        let shared = || self.shared_milli.iter().filter(|left| **left >= wish.gpu_milli).count();
        let gpus = wish.gpus <= self.whole_gpus || wish.gpus as usize <= self.whole_gpus as usize + shared();
        gpus && covers(self.cpu_milli, wish.cpu_milli) && covers(self.memory_bytes, wish.memory_bytes)
    }
}

/// What is not asked for always fits, as in the kube-scheduler.
fn covers(room: i64, need: u64) -> bool {
    need == 0 || u64::try_from(room).is_ok_and(|room| need <= room)
}

/// Pods that are expected somewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// What each of them asks for.
    pub wish: Wish,
    /// For each kind of node, whether they may use it.
    pub admitted: Vec<bool>,
}

/// The pods that are expected, as nodes of one kind see them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Those that may use these nodes and ask for GPUs; their weights are shares of all.
    wishes: Vec<Wish>,
    /// The share of all others, to which every free GPU here is a fragment.
    barred: f64,
    /// GPUs that are wanted of each GPU here, in units of what is wanted of each GPU of the cluster: each wish asks all the
    /// nodes that it may use alike. 1 where all nodes are asked alike.
    pressure: f64,
    /// CPU in thousandths and bytes of memory that go with each GPU that is wanted here.
    per_gpu: (f64, f64),
}

impl Target {
    /// One for each kind of node, with so many GPUs of each kind in the cluster.
    pub fn of_kinds(gpus: &[u32], expected: &[Expected]) -> Vec<Self> {
        let milli = |wish: &Wish| wish.weight * f64::from(wish.gpus) * f64::from(wish.gpu_milli);
        let all: f64 = expected.iter().map(|one| one.wish.weight).sum();
        let (wanted, capacity) = (expected.iter().map(|one| milli(&one.wish)).sum::<f64>(), gpus.iter().sum::<u32>());
        let mut targets = vec![Self::default(); gpus.len()];
        for Expected { wish, admitted } in expected {
            let reach: u32 = gpus.iter().zip(admitted).filter(|(_, admitted)| **admitted).map(|(gpus, _)| gpus).sum();
            for (target, admitted) in targets.iter_mut().zip(admitted) {
                if !admitted || wish.gpus == 0 {
                    target.barred += wish.weight / all;
                    continue;
                }
                target.pressure += milli(wish) / wanted * f64::from(capacity) / f64::from(reach.max(1));
                target.add(Wish { weight: wish.weight / all, ..*wish });
            }
        }
        for target in &mut targets {
            let wanted = target.wishes.iter().map(|wish| milli(wish) / f64::from(WHOLE_GPU_MILLI)).sum::<f64>();
            let of = |amount: fn(&Wish) -> u64| {
                target.wishes.iter().map(|wish| wish.weight * amount(wish) as f64).sum::<f64>() / wanted
            };
            target.per_gpu = (of(|wish| wish.cpu_milli), of(|wish| wish.memory_bytes));
        }
        targets
    }

    fn add(&mut self, wish: Wish) {
        let alike = |known: &&mut Wish| Wish { weight: 0.0, ..**known } == Wish { weight: 0.0, ..wish };
        match self.wishes.iter_mut().find(alike) {
            Some(known) => known.weight += wish.weight,
            None => self.wishes.push(wish),
        }
    }

    /// `F_n(M)` of a node with this room, in GPUs: 0 to what is left of them.
    pub fn fragments(&self, room: &Room<'_>) -> f64 {
        self.barred * f64::from(room.gpu_milli()) / f64::from(WHOLE_GPU_MILLI) + self.unfit(room)
    }

    /// Our own measure of what of a node's free GPUs will be lost, in GPUs; a pod goes where it adds the least.
    ///
    /// As [`fragments`](Self::fragments), with two changes. The share of pods that may not use the node gives way to how little
    /// the node is wanted, 1 less its pressure: a kind of node that many pods could use elsewhere too is not scarce, however
    /// many pods name it. And GPUs beyond those that the rest of the node's CPU and memory can feed, at what goes with each GPU
    /// on average, are lost from the start, not only once a pod does not fit any more.
    pub fn loss(&self, room: &Room<'_>) -> f64 {
        let free = f64::from(room.gpu_milli()) / f64::from(WHOLE_GPU_MILLI);
        let fed =
            |amount: i64, per_gpu: f64| if per_gpu > 0.0 { amount.max(0) as f64 / per_gpu } else { f64::INFINITY };
        let fed = fed(room.cpu_milli, self.per_gpu.0).min(fed(room.memory_bytes, self.per_gpu.1));
        (1.0 - self.pressure) * free + self.unfit(room) + (free - fed).max(0.0)
    }

    /// `Σ_m p_m F_n(m)` over the pods that may use the node.
    fn unfit(&self, room: &Room<'_>) -> f64 {
        let free = room.gpu_milli();
        let of = |wish: &Wish| {
            if !room.fits(wish) {
                return free;
            }
            room.shared_milli.iter().filter(|left| **left < wish.gpu_milli).sum()
        };
        let milli: f64 = self.wishes.iter().map(|wish| wish.weight * f64::from(of(wish))).sum();
        milli / f64::from(WHOLE_GPU_MILLI)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(gpus: u32, gpu_milli: u32, cpus: u64, weight: f64) -> Wish {
        Wish { gpus, gpu_milli, cpu_milli: 1000 * cpus, memory_bytes: 0, weight }
    }

    fn room(whole_gpus: u32, shared_milli: &[u32], cpus: i64) -> Room<'_> {
        Room { whole_gpus, shared_milli, cpu_milli: 1000 * cpus, memory_bytes: 0 }
    }

    /// As the first of two kinds of node with 30 and 10 GPUs sees them.
    fn target(expected: &[(Wish, [bool; 2])]) -> Target {
        let expected: Vec<Expected> =
            expected.iter().map(|(wish, admitted)| Expected { wish: *wish, admitted: admitted.to_vec() }).collect();
        Target::of_kinds(&[30, 10], &expected).remove(0)
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} instead of {expected}");
    }

    #[test]
    fn what_is_too_little_for_a_pod_is_a_fragment_to_it() {
        let target = target(&[(wish(4, 1000, 1, 3.0), [true; 2]), (wish(1, 600, 1, 1.0), [true; 2])]);
        close(target.fragments(&room(4, &[], 8)), 0.0);
        close(target.fragments(&room(2, &[], 8)), 0.75 * 2.0);
        // Half a GPU is of no use to either; a whole one beside it is of use to the small one.
        close(target.fragments(&room(1, &[500], 8)), 0.75 * 1.5 + 0.25 * 0.5);
        // Without CPU all that is free is a fragment to everybody.
        close(target.fragments(&room(4, &[300], 0)), 4.3);
        close(target.fragments(&room(0, &[], 8)), 0.0);
    }

    #[test]
    fn pods_that_may_not_use_a_node_or_ask_for_no_gpu_count_all_of_it_as_fragments() {
        let pods = [(wish(1, 1000, 1, 1.0), [true; 2]), (wish(1, 1000, 1, 1.0), [false, true])];
        let target = target(&[pods[0], pods[1], (wish(0, 0, 1, 2.0), [true; 2])]);
        close(target.fragments(&room(4, &[], 8)), 0.75 * 4.0);
    }

    #[test]
    fn gpus_that_the_rest_of_the_cpu_cannot_feed_are_lost_before_anything_fails_to_fit() {
        let target = target(&[(wish(1, 1000, 4, 1.0), [true; 2])]);
        close(target.loss(&room(4, &[], 16)), 0.0);
        close(target.loss(&room(4, &[], 8)), 2.0);
        close(target.fragments(&room(4, &[], 8)), 0.0);
    }

    #[test]
    fn a_kind_that_is_asked_for_less_is_the_one_to_use() {
        // Half of what is wanted may use both kinds and half the small one alone: 0.5 and 0.5 + 0.5 x 40 / 10.
        let pods = [(wish(1, 1000, 1, 1.0), [true; 2]), (wish(1, 1000, 1, 1.0), [false, true])];
        let expected = pods.map(|(wish, admitted)| Expected { wish, admitted: admitted.to_vec() });
        let targets = Target::of_kinds(&[30, 10], &expected);
        close(targets[0].loss(&room(2, &[], 8)), 0.5 * 2.0);
        close(targets[1].loss(&room(2, &[], 8)), -1.5 * 2.0);
    }

    proptest::proptest! {
        #[test]
        fn fragments_are_at_most_what_is_free_and_grow_with_the_wish(
            whole in 0_u32..8, shared in proptest::collection::vec(0_u32..1000, 0..4), cpus in 0_i64..16,
            gpus in 1_u32..8, milli in 1_u32..1000, need in 0_u64..16,
        ) {
            let room = room(whole, &shared, cpus);
            let of = |wish| target(&[(wish, [true; 2])]).fragments(&room);
            let large = of(wish(gpus, 1000, need, 1.0));
            let small = of(wish(1, milli, need, 1.0));
            proptest::prop_assert!(0.0 <= small && small <= large);
            proptest::prop_assert!(large <= f64::from(room.gpu_milli()) / 1000.0 + 1e-12);
        }
    }
}
