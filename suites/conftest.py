"""Hypothesis' profiles are known before any suite is collected."""

from suites import profiles as profiles
