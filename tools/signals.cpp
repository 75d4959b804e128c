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
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
  // nohup has a program started with SIGHUP ignored, so that it outlives its terminal.
  struct sigaction before {};
  ::sigaction(SIGHUP, nullptr, &before);
  if (before.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);
}

int stop_signal() { return received; }

}  // namespace fjord
