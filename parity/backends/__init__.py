"""Backends: each turns (flow, layer, input, scheme) into a trace. One module a backend; none compares or judges."""
