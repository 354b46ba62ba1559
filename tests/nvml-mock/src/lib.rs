//! A scriptable libnvidia-ml.so for tests.
