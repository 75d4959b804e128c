// SIGINT, SIGTERM and SIGHUP ask training to stop after the step in hand.
#pragma once

namespace fjord {

/// The first signal is remembered; a second SIGINT ends the program at once (130). SIGHUP stays
/// ignored where the program was started so.
void catch_stop_signals();
/// The signal that came, 0 for none.
int stop_signal();

}  // namespace fjord
