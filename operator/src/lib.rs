//! The operator of Plimsoll: reads TrainingJobs, plans, builds pods, learns.
