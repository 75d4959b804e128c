// Signals that ask to stop.
#include "tools/signals.h"

#include <signal.h>
#include <unistd.h>

#include <initializer_list>

namespace fjord {

namespace {

volatile sig_atomic_t received = 0;

void on_signal(int signal) {
  if (received != 0 && signal == SIGINT) ::_exit(130);
  received = signal;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

int stop_signal() { return received; }

}  // namespace fjord
