//! The node agent of Plimsoll: reads GPUs through NVML and says what they do.
