"""The command line: the verbs, the doctor, jobs on a cluster."""
