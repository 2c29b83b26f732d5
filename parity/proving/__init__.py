"""Rules proved over every operand of a domain: claims in, proofs out.

A claim names two parties and a step, a counter counts the operands on which they part, a sweep runs it over all.
"""
