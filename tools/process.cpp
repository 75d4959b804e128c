// Starting a program; what it prints goes to files without a name, so that nothing can block.
#include "tools/process.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "kernels/error.h"

namespace fjord {

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

std::string content(std::FILE* file) {
  std::rewind(file);
  std::string text;
  char part[4096];
  while (const std::size_t count = std::fread(part, 1, sizeof part, file)) text.append(part, count);
  return text;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  return list;
}

[[noreturn]] void refuse(const std::string& program, int error) {
  throw Error(ExitCode::io, "process", printable(program),
              fmt::format("it cannot be started: {}", std::strerror(error)),
              "see that it is there and may be run");
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& args,
                          const std::vector<std::string>& environment) {
  const File out(std::tmpfile(), std::fclose), err(std::tmpfile(), std::fclose);
  if (!out || !err) refuse(args[0], errno);
  std::vector<char*> argv = pointers(args), env = pointers(environment);
  argv.push_back(nullptr);
  for (char** entry = environ; *entry; ++entry) env.push_back(*entry);
  env.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(out.get()), 1);
  posix_spawn_file_actions_adddup2(&actions, fileno(err.get()), 2);
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, args[0].c_str(), &actions, nullptr, argv.data(), env.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed) refuse(args[0], failed);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(out.get()),
          content(err.get())};
}

}  // namespace fjord
