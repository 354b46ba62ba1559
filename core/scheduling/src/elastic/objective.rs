//! What a cluster is run for, as the weights of jobs and the charges of GPUs that an allocation takes.

use serde::{Deserialize, Serialize};

/// What the allocation is to make the most of. Weights go into [`Job::weight`](super::Job::weight), charges into
/// [`allocate_charged`](super::allocate_charged).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Objective {
    /// Average completion time, by the jobs' own weights.
    #[default]
    Goodput,
    /// The worst finish-time fairness: whoever is furthest behind an equal share counts more.
    Fairness,
    /// Deadlines: whoever has little time left for its work counts more.
    Deadlines,
    /// Completion time and money.
    Cost,
    /// Completion time and electric energy.
    Energy,
    /// Completion time and carbon dioxide.
    Carbon,
}

/// What an objective looks at of a job. Times are in seconds and not below 0 unless said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// What a second of its completion time counts by itself; above 0.
    pub weight: f64,
    /// Waited so far.
    pub waited_seconds: f64,
    /// Run so far, restarts included.
    pub ran_seconds: f64,
    /// Left, at the rate of an equal share of the cluster: the present rate would make the weight swing with each change of it.
    pub remaining_seconds: f64,
    /// Its whole work alone on an equal share of the cluster; above 0.
    pub alone_seconds: f64,
    /// From now to its deadline; below 0 once that has passed; `None` without one.
    pub to_deadline_seconds: Option<f64>,
}

/// What a GPU of a class takes while a job has it, beyond what it takes at rest. Not below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Toll {
    /// Money an hour, in any currency.
    pub money_per_hour: f64,
    /// Electric power.
    pub watts: f64,
    /// Carbon dioxide of a kilowatt-hour, in grams: of the grid, now.
    pub grams_per_kwh: f64,
}

/// What an hour of the completion time of a job of weight 1 is worth. Above 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobHour {
    /// In the currency of [`Toll::money_per_hour`].
    pub money: f64,
    /// In kilowatt-hours.
    pub kwh: f64,
    /// In grams of carbon dioxide.
    pub grams: f64,
}

/// Bounds within which finish-time fairness moves a weight.
const RHO: (f64, f64) = (0.25, 8.0);

/// Factor on the weight of a job that cannot make its deadline any more at its present rate.
const LATE: f64 = 10.0;

impl Facts {
    /// Finish-time fairness so far, `ρ`: completion time, if it has an equal share from now on, over that alone on it from the start (Themis, Mahajan
    /// et al., NSDI 2020, section 3.1).
    pub fn rho(&self) -> f64 {
        (self.waited_seconds + self.ran_seconds + self.remaining_seconds) / self.alone_seconds
    }

    /// Share of the time to its deadline that its work takes: 1 where it just makes it, and where it does not; 0 without a deadline.
    fn pressure(&self) -> f64 {
        match self.to_deadline_seconds {
            None => 0.0,
            Some(left) if left <= self.remaining_seconds => 1.0,
            Some(left) => self.remaining_seconds / left,
        }
    }
}

impl Objective {
    /// What a second of a job's completion time counts.
    ///
    /// Fairness weighs by `ρ²`: the gradient of `Σ ρ³`, which comes near the largest `ρ` as powers of it do. Deadlines rise from 1 to
    /// ten times the weight with the cube of the share of the remaining time that the work takes, so that a job with time to spare
    /// is hardly favoured.
    pub fn weight(self, facts: &Facts) -> f64 {
        match self {
            Self::Fairness => facts.weight * facts.rho().clamp(RHO.0, RHO.1).powi(2),
            Self::Deadlines => facts.weight * (1.0 + (LATE - 1.0) * facts.pressure().powi(3)),
            Self::Goodput | Self::Cost | Self::Energy | Self::Carbon => facts.weight,
        }
    }

    /// What a second of a GPU costs, in seconds of completion time of a job of weight 1.
    pub fn charge(self, toll: &Toll, hour: &JobHour) -> f64 {
        let kilowatts = toll.watts / 1000.0;
        match self {
            Self::Goodput | Self::Fairness | Self::Deadlines => 0.0,
            Self::Cost => toll.money_per_hour / hour.money,
            Self::Energy => kilowatts / hour.kwh,
            Self::Carbon => kilowatts * toll.grams_per_kwh / hour.grams,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::elastic::{Job, Offer, Settings, allocate, allocate_charged};

    const HOUR: JobHour = JobHour { money: 2.0, kwh: 1.0, grams: 400.0 };

    fn facts(waited_seconds: f64, to_deadline_seconds: Option<f64>) -> Facts {
        Facts {
            weight: 1.0,
            waited_seconds,
            ran_seconds: 600.0,
            remaining_seconds: 1800.0,
            alone_seconds: 3600.0,
            to_deadline_seconds,
        }
    }

    fn job(weight: f64, power: f64) -> Job {
        let offer = |gpus: u32| Offer { class: 0, gpus, rate: f64::from(gpus).powf(power), now: true };
        let offers = [1, 2, 3, 4, 6, 8].map(offer).to_vec();
        Job { weight, remaining: 1e4, restart_seconds: 60.0, running: None, known: true, offers }
    }

    /// The rates that jobs get which differ in weight alone.
    fn rates(capacity: u32, power: f64, weights: &[f64]) -> Vec<f64> {
        let jobs: Vec<Job> = weights.iter().map(|weight| job(*weight, power)).collect();
        let answer = allocate(&[capacity], &[1.0], &jobs, &Settings::ALL_HERE);
        jobs.iter().zip(answer.choices).map(|(job, at)| at.map_or(0.0, |at| job.offers[at].rate)).collect()
    }

    proptest! {
        #[test]
        fn of_equal_jobs_the_one_furthest_behind_its_share_gets_no_less(
            capacity in 1..12_u32, power in 0.3..0.95_f64, waited in proptest::collection::vec(0.0..20_000.0_f64, 2..5),
        ) {
            let weights: Vec<f64> = waited.iter().map(|at| Objective::Fairness.weight(&facts(*at, None))).collect();
            let rates = rates(capacity, power, &weights);
            let worst = (0..waited.len()).max_by(|a, b| waited[*a].total_cmp(&waited[*b])).unwrap();
            // Between equal weights, which the bounds on rho make, the caller's order decides.
            let rivals = (0..waited.len()).filter(|at| weights[*at] < weights[worst]);
            for rival in rivals {
                prop_assert!(rates[worst] >= rates[rival], "{waited:?} get {rates:?}");
            }
        }

        #[test]
        fn a_job_late_for_its_deadline_gets_no_less_than_one_with_time(
            capacity in 1..12_u32, power in 0.3..0.95_f64, late in -5000.0..1800.0_f64, spare in 4000.0..1e6_f64,
        ) {
            let weights = [late, spare].map(|left| Objective::Deadlines.weight(&facts(0.0, Some(left))));
            prop_assert!(weights[0] > weights[1] && weights[1] >= Objective::Deadlines.weight(&facts(0.0, None)));
            let rates = rates(capacity, power, &weights);
            prop_assert!(rates[0] >= rates[1], "{rates:?}");
        }

        #[test]
        fn cost_buys_the_cheapest_run_in_time_and_money(
            power in 0.2..1.0_f64, money in 0.0..20.0_f64, weight in 0.1..10.0_f64,
        ) {
            let toll = Toll { money_per_hour: money, ..Toll::default() };
            let charge = Objective::Cost.charge(&toll, &HOUR);
            let job = Job { restart_seconds: 0.0, ..job(weight, power) };
            let answer = allocate_charged(&[8], &[1.0], &[charge], std::slice::from_ref(&job), &Settings::ALL_HERE);
            // Money spent and the worth of the hours that the whole run takes.
            let spent = |offer: &Offer| {
                let hours = job.remaining / offer.rate / 3600.0;
                hours * (money * f64::from(offer.gpus) + HOUR.money * weight)
            };
            let least = job.offers.iter().map(spent).fold(f64::INFINITY, f64::min);
            let chosen = spent(&job.offers[answer.choices[0].unwrap()]);
            prop_assert!(chosen <= least * (1.0 + 1e-5), "{chosen} where {least} would do");
        }

        #[test]
        fn gpus_that_save_no_time_are_never_bought(money in 0.01..50.0_f64, jobs in 1..6_usize) {
            let offer = |gpus: u32| Offer { class: 0, gpus, rate: f64::from(gpus.min(2)), now: true };
            let job = Job { offers: [1, 2, 4, 8].map(offer).to_vec(), ..job(1.0, 1.0) };
            let toll = Toll { money_per_hour: money, ..Toll::default() };
            let charges = [Objective::Cost.charge(&toll, &HOUR)];
            let answer = allocate_charged(&[32], &[1.0], &charges, &vec![job.clone(); jobs], &Settings::ALL_HERE);
            for choice in answer.choices {
                prop_assert!(job.offers[choice.unwrap()].gpus <= 2);
            }
        }
    }

    #[test]
    fn charges_are_in_seconds_of_a_job_for_a_second_of_a_gpu() {
        let toll = Toll { money_per_hour: 4.0, watts: 500.0, grams_per_kwh: 200.0 };
        let charges = [Objective::Goodput, Objective::Cost, Objective::Energy, Objective::Carbon];
        assert_eq!(charges.map(|objective| objective.charge(&toll, &HOUR)), [0.0, 2.0, 0.5, 0.25]);
    }
}
