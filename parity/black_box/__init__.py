"""What rules a black box carries out: questions, the rules that would answer them so, and what that leaves possible."""
