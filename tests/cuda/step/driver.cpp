// A driver's library without a function: programs ask for none, only whether it can be opened.
