//! GPU nodes that behave: what kubelet, device plugin, driver and training program would do.
