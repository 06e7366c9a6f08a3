"""Many processes on one mailbox of a real store, killed and stopped at random, and a judge of its own."""
