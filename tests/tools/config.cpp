// Config files: row 61 of the bad-input table, and that a run's own config says what was run.
#include <doctest/doctest.h>

#include "kernels/error.h"
#include "tools/train_settings.h"
#include "user.h"

using namespace fjord;
using namespace fjord::test;

namespace {

struct Parsed {
  TrainSettings settings;
  Options options{{.name = "fjord-train", .usage = "DATA", .purpose = "", .examples = ""}};
  explicit Parsed(std::vector<const char*> argv) {
    add_train_flags(options, settings);
    argv.insert(argv.begin(), "fjord-train");
    options.parse(static_cast<int>(argv.size()), argv.data());
  }
};

// The error of reading that text as c.toml, with the folder taken out.
std::string refusal(const std::string& text) {
  const TempFolder folder;
  write_text(folder / "c.toml", text);
  Parsed parsed({});
  try {
    parsed.options.read_config((folder / "c.toml").string());
  } catch (const Error& error) {
    CHECK(error.exit == ExitCode::usage);
    std::string line = error.what();
    const std::string prefix = folder.path.string() + "/";
    for (std::size_t at; (at = line.find(prefix)) != std::string::npos;)
      line.erase(at, prefix.size());
    return line;
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a wrong key or value is named with file and line") {
  CHECK(refusal("# comment\nepochs = 3\nlerning-rate = 1\n") ==
        "error[E-config] c.toml:3: lerning-rate - fjord-train has no such key - did you mean lr?");
  CHECK(refusal("epochs = 1.5\n") ==
        "error[E-flag-value] c.toml:1: epochs = 1.5 - needs a whole number from 1 to 1000000 - "
        "change it; --help says what --epochs is");
  CHECK(refusal("lr = \"1e-3\"\n") ==
        "error[E-config] c.toml:1: lr = 1e-3 - is a text in quotes where a number is needed - "
        "leave the quotes out");
  CHECK(refusal("\nlr = -1\n") ==
        "error[E-flag-value] c.toml:2: lr = -1 - needs a number above 0 - change it; --help says "
        "what --lr is");
  CHECK(refusal("lr = 1\nlr = 2\n") ==
        "error[E-config] c.toml:2: lr - stands there a second time - keep one of the lines");
  CHECK(refusal("[train]\nlr = 1\n") ==
        "error[E-config] c.toml:1: [train] - configs are lines of key = value, without tables - "
        "write key = value");
  CHECK(refusal("lr =\n") == "error[E-config] c.toml:1 - has no value - write key = value");
  CHECK(refusal("loss = \"0.5*dice\n") ==
        "error[E-config] c.toml:1 - has a text without its end - close the quotes");
}

TEST_CASE("a file that is no config") {
  CHECK(refusal("") ==
        "error[E-config] c.toml - the config is empty - write lines such as lr = 0.001, or leave "
        "--config out");
  CHECK(refusal("\xEF\xBB\xBFlr = 1\n") ==
        "error[E-config] c.toml:1 - begins with a byte order mark - save it as UTF-8 without BOM");
  CHECK(refusal("lr = 1\r\nepochs = 2\r\n") ==
        "error[E-config] c.toml:1 - ends lines with CR LF, configs with LF - convert it, for "
        "example by dos2unix");
  CHECK(refusal("lr = 1\nloss = \"\xff\"\n") ==
        "error[E-config] c.toml:2 - holds control characters or is not UTF-8 - save it as UTF-8 "
        "text");
  CHECK(refusal(std::string((1 << 20) + 1, '#')) ==
        "error[E-config] c.toml - has 1048577 bytes, at most 1048576 are read - check that it is "
        "the right file");
  const Outcome outcome = run({"fjord-train", "d", "--config", "/nowhere.toml"});
  CHECK(outcome.code == 2);
  CHECK(outcome.error() ==
        "error[E-config] /nowhere.toml - No such file or directory - check the path");
}

TEST_CASE("the command line wins over a config") {
  const TempFolder folder;
  write_text(folder / "c.toml", "lr = 0.5\nepochs = 3  # three\nsize = \"96x128\"\n");
  Parsed parsed({"d", "--lr", "0.25"});
  parsed.options.read_config((folder / "c.toml").string());
  CHECK(*parsed.settings.lr == 0.25);
  CHECK(parsed.settings.epochs == 3);
  CHECK(parsed.settings.size == ImageSize{96, 128});
}

TEST_CASE("an effective config read again gives itself") {
  const TempFolder folder;
  Parsed first({"dir with # and \"quotes\"\n", "--lr", "3e-4", "--decoder-channels", "64,32,16",
                "--encoder-depth", "3", "--loss", "0.5*lovasz+0.5*softce(smooth=0.1)", "--labels",
                "1:0,2:1", "--crop", "64", "--class-weights", "1,2.5", "--no-shuffle"});
  const std::string text = first.options.to_toml();
  write_text(folder / "c.toml", text);
  Parsed again({});
  again.options.read_config((folder / "c.toml").string());
  again.options.check_conflicts();
  CHECK(again.options.to_toml() == text);
  CHECK(again.settings.data == first.settings.data);
  CHECK(again.settings.model.decoder_channels == std::vector<int>{64, 32, 16});
}

TEST_CASE("row 70: a config keeps a name of any bytes") {
  const TempFolder folder;
  for (const std::string name : {"\xff\xfe", "\xc3\xbc \xc3", "\xc2\x85", "\xc3\xbc", "\x1b[31m"}) {
    Parsed first({name.c_str()});
    write_text(folder / "c.toml", first.options.to_toml());
    Parsed again({});
    again.options.read_config((folder / "c.toml").string());
    CHECK(again.settings.data == first.settings.data);
  }
}

TEST_CASE("a resumed run refuses a flag that says otherwise") {
  const TempFolder folder;
  write_text(folder / "c.toml", "lr = 0.5\nepochs = 3\n");
  const std::string path = (folder / "c.toml").string();
  Parsed same({"--lr", "0.5"});
  CHECK_NOTHROW(same.options.resume_from(path));
  CHECK(same.settings.epochs == 3);
  Parsed other({"--lr", "0.25"});
  CHECK_THROWS_WITH_AS(other.options.resume_from(path),
                       ("error[E-resume-conflict] --lr 0.25 - " + path +
                        " says 0.5 - leave it out to go on as before, or start another run with "
                        "--out")
                           .c_str(),
                       Error);
  Parsed added({"--clip-norm", "1"});
  CHECK_THROWS_WITH_AS(added.options.resume_from(path),
                       ("error[E-resume-conflict] --clip-norm 1 - " + path +
                        " was started without it - leave it out to go on as before, or start "
                        "another run with --out")
                           .c_str(),
                       Error);
}
