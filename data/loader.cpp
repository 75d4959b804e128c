// The loader's threads: samples are claimed in order, written into a ring of batches, and handed
// out in order.
#include "data/loader.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <utility>

#include "data/sample_cache.h"

namespace fjord {

namespace {

struct Slot {
  Batch batch;
  std::vector<float> images;         // ready, or
  std::vector<std::byte> pixels;     // raw, with
  std::vector<AugmentSample> draws;  // what is still to be done to them
  std::vector<std::uint8_t> labels;
  std::int64_t unfinished = 0;
  std::int64_t failed_at = 0;  // the lowest place in the batch that failed
  std::exception_ptr failure;
};

std::size_t read_limit(const char* file) {
  std::ifstream stream(file);
  std::size_t bytes = 0;
  return stream >> bytes ? bytes : ~std::size_t{0};  // "max" is no number
}

Shape frame_of(const std::vector<Sample>& samples, const LoaderOptions& options) {
  Shape shape{1, options.framing.height, options.framing.width, options.normalization.channels()};
  if (options.framing.crops() && !options.framing.resizes())
    shape.h = options.framing.crop_height, shape.w = options.framing.crop_width;
  if (shape.h == 0) {
    const ImageInfo info = probe_image(samples.front().image, {.keep_alpha = shape.c == 4});
    shape.h = info.height, shape.w = info.width;
  }
  return shape;
}

}  // namespace

std::size_t default_cache_bytes() {
  const auto pages = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES));
  const auto memory = std::min({pages * static_cast<std::size_t>(::sysconf(_SC_PAGE_SIZE)),
                                read_limit("/sys/fs/cgroup/memory.max"),
                                read_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
  return memory / 4;
}

std::vector<std::int64_t> epoch_order(std::int64_t samples, Order order, std::uint64_t seed,
                                      std::int64_t epoch) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(samples));
  std::iota(indices.begin(), indices.end(), 0);
  if (order == Order::sorted) return indices;
  for (std::int64_t i = samples - 1; i > 0; --i) {
    const RandomWords words = Philox{seed}.draw(Draw::shuffle, static_cast<std::uint32_t>(epoch), 0,
                                                static_cast<std::uint32_t>(i / 4));
    std::swap(indices[static_cast<std::size_t>(i)],
              indices[static_cast<std::size_t>(uniform_int(words[static_cast<int>(i % 4)], 0, i))]);
  }
  return indices;
}

struct Loader::Work {
  Work(std::vector<Sample> all, LoaderOptions given)
      : samples(std::move(all)),
        options(std::move(given)),
        shape(frame_of(samples, options)),
        cache(samples.size(), options.cache_bytes),
        ring(static_cast<std::size_t>(std::max<std::int64_t>(1, options.prefetch))) {
    const auto count = static_cast<std::int64_t>(samples.size());
    batches = options.last_batch == LastBatch::drop ? count / options.batch
                                                    : (count + options.batch - 1) / options.batch;
    if (options.augment == AugmentPolicy::standard && shape.c != 3)
      note("colour augmentation is off: it needs red, green and blue bands alone");
  }

  void note(const std::string& text) {
    const std::scoped_lock lock(notes_mutex);
    if (said.insert(text).second) notes.push_back(text);
  }

  std::shared_ptr<const DecodedSample> decoded(std::int64_t index);
  bool raw() const { return options.augment_by == AugmentBy::consumer; }
  AugmentSample draw(const DecodedSample& sample, std::int64_t index, std::int64_t epoch) const;
  void make(Slot& slot, std::int64_t place);
  RawImages raw_form(const Image& image) const;
  void copy_raw(const DecodedSample& sample, std::int64_t index, Slot& slot,
                std::int64_t place) const;
  template <class Take>
  Batch hand_out(const Take& take);
  void check_native_size(const DecodedSample& sample, std::int64_t index) const;
  Slot& claim(std::int64_t& place);
  void run(std::stop_token stop);

  const std::vector<Sample> samples;
  const LoaderOptions options;
  const Shape shape;
  RawImages form;  // of raw samples
  SampleCache cache;
  std::int64_t batches = 0;

  std::mutex mutex;
  std::condition_variable_any to_workers, to_consumer;
  std::vector<Slot> ring;
  std::int64_t consumed = 0;  // batches handed out, counted over all epochs
  std::int64_t claimed_batch = 0, claimed_place = 0;
  std::int64_t active = 0;  // samples being made
  bool paused = false;
  std::int64_t order_epoch = -1;
  std::vector<std::int64_t> order;

  std::mutex notes_mutex;
  std::set<std::string> said;
  std::vector<std::string> notes;
  std::vector<std::jthread> threads;
};

void Loader::Work::check_native_size(const DecodedSample& sample, std::int64_t index) const {
  if (options.framing.resizes() || options.framing.crops()) return;
  if (sample.image.height == shape.h && sample.image.width == shape.w) return;
  throw Error(ExitCode::dataset, "image-size",
              fmt::format("{}: {}x{}, but {} is {}x{}",
                          printable(samples[static_cast<std::size_t>(index)].image.native()),
                          sample.image.width, sample.image.height,
                          printable(samples.front().image.native()), shape.w, shape.h),
              "with --size 0 all images have one size", "use --size 512 or --crop 256");
}

std::shared_ptr<const DecodedSample> Loader::Work::decoded(std::int64_t index) {
  if (auto kept = cache.find(index)) return kept;
  std::vector<std::string> said_now;
  const auto sample = std::make_shared<DecodedSample>(
      read_sample(samples[static_cast<std::size_t>(index)], options.labels, options.framing,
                  static_cast<int>(shape.c), said_now));
  for (const std::string& text : said_now) note(text);
  check_native_size(*sample, index);
  cache.keep(index, sample);
  return sample;
}

AugmentSample Loader::Work::draw(const DecodedSample& sample, std::int64_t index,
                                 std::int64_t epoch) const {
  return draw_augmentation(
      {options.seed}, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index),
      {.height = shape.h,
       .width = shape.w,
       .source_height = sample.image.height,
       .source_width = sample.image.width,
       .policy = options.augment,
       .rgb = sample.rgb,
       .random_crop = options.order == Order::shuffled || options.augment != AugmentPolicy::none});
}

RawImages Loader::Work::raw_form(const Image& image) const {
  return {.source = {1, image.height, image.width, shape.c},
          .dtype = image.dtype,
          .scale = options.normalization.scale(),
          .offset = options.normalization.offset(),
          .image = {.range = static_cast<float>(options.normalization.range)},
          .label = {.outside = options.labels.outside()}};
}

void Loader::Work::copy_raw(const DecodedSample& sample, std::int64_t index, Slot& slot,
                            std::int64_t place) const {
  const Shape source = form.source;
  if (sample.image.height != source.h || sample.image.width != source.w ||
      sample.image.dtype != form.dtype)
    throw Error(ExitCode::dataset, "image-size",
                printable(samples[static_cast<std::size_t>(index)].image.native()),
                fmt::format("it is {}x{}, others are {}x{} or of another type", sample.image.width,
                            sample.image.height, source.w, source.h),
                "use --size 512");
  const auto bytes = static_cast<std::size_t>(source.count()) * size_of(form.dtype);
  const auto at = static_cast<std::size_t>(place);
  std::memcpy(slot.pixels.data() + at * bytes, sample.image.pixels.data(), bytes);
  std::ranges::copy(sample.classes, slot.labels.begin() + place * source.pixels());
}

void Loader::Work::make(Slot& slot, std::int64_t place) {
  const std::int64_t index = slot.batch.samples[static_cast<std::size_t>(place)];
  const auto sample = decoded(index);
  AugmentSample& drawn = slot.draws[static_cast<std::size_t>(place)];
  drawn = draw(*sample, index, slot.batch.epoch);
  if (raw()) return copy_raw(*sample, index, slot, place);
  // The kernels read these alone.
  auto& pixels = const_cast<DecodedSample&>(*sample);
  augment_on_host(
      raw_form(sample->image), {pixels.image.pixels.data(), pixels.classes.data(), &drawn}, shape,
      slot.images.data() + place * shape.count(), slot.labels.data() + place * shape.pixels());
}

// The next sample in order; the lock is held. Opens the slot of a batch at its first sample.
Slot& Loader::Work::claim(std::int64_t& place) {
  Slot& slot = ring[static_cast<std::size_t>(claimed_batch) % ring.size()];
  place = claimed_place;
  if (place == 0) {
    const std::int64_t epoch = claimed_batch / batches, step = claimed_batch % batches;
    const auto total = static_cast<std::int64_t>(samples.size());
    if (epoch != order_epoch) order = epoch_order(total, options.order, options.seed, epoch);
    order_epoch = epoch;
    const std::int64_t begin = step * options.batch, end = std::min(begin + options.batch, total);
    slot.batch = {epoch, step, end - begin, {order.begin() + begin, order.begin() + end}};
    slot.unfinished = end - begin;
    slot.failure = nullptr;
    slot.failed_at = end - begin;
    const Shape kept = raw() ? form.source : shape;
    const auto values = static_cast<std::size_t>(options.batch * kept.count());
    if (raw())
      slot.pixels.resize(values * size_of(form.dtype));
    else
      slot.images.resize(values);
    slot.labels.resize(static_cast<std::size_t>(options.batch * kept.pixels()));
    slot.draws.resize(static_cast<std::size_t>(options.batch));
  }
  if (++claimed_place == slot.batch.count) ++claimed_batch, claimed_place = 0;
  ++active;
  return slot;
}

void Loader::Work::run(std::stop_token stop) {
  std::unique_lock lock(mutex);
  while (true) {
    const auto free = [&] {
      return !paused && claimed_batch < consumed + static_cast<std::int64_t>(ring.size());
    };
    if (!to_workers.wait(lock, stop, free)) return;
    std::int64_t place = 0;
    Slot& slot = claim(place);
    lock.unlock();
    std::exception_ptr failure;
    try {
      make(slot, place);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && place < slot.failed_at) slot.failed_at = place, slot.failure = failure;
    --slot.unfinished;
    --active;
    to_consumer.notify_all();
  }
}

Loader::Loader(std::vector<Sample> samples, LoaderOptions options) {
  enable_cpu_augment();
  check(options.batch > 0 && options.threads > 0, "Loader",
        "expects a batch and threads above 0, got {} and {}", options.batch, options.threads);
  const auto count = static_cast<std::int64_t>(samples.size());
  if (count == 0)
    throw Error(ExitCode::dataset, "no-images", "an empty split", "there is nothing to read",
                "add images and labels");
  if (options.last_batch == LastBatch::drop && count < options.batch)
    throw Error(
        ExitCode::dataset, "too-few",
        fmt::format("{}: {} training pairs, fewer than a batch of {}",
                    printable(samples.front().image.parent_path().native()), count, options.batch),
        "an epoch's last incomplete batch is dropped, so nothing would be left",
        fmt::format("use --batch {}", count));
  work_ = std::make_unique<Work>(std::move(samples), std::move(options));
  if (work_->raw()) work_->form = work_->raw_form(work_->decoded(0)->image);
  for (int t = 0; t < work_->options.threads; ++t)
    work_->threads.emplace_back([work = work_.get()](std::stop_token stop) { work->run(stop); });
}

Loader::~Loader() {
  if (work_) work_->threads.clear();  // stops and joins while everything else still lives
}

std::int64_t Loader::batches() const { return work_->batches; }
std::int64_t Loader::samples() const { return static_cast<std::int64_t>(work_->samples.size()); }
Shape Loader::sample_shape() const { return work_->shape; }
std::size_t Loader::cached_bytes() const { return work_->cache.bytes(); }

void Loader::start(std::int64_t epoch, std::int64_t step) {
  Work& work = *work_;
  check(epoch >= 0 && step >= 0 && step <= work.batches, "Loader::start",
        "expects a step of 0..{}, got epoch {} step {}", work.batches, epoch, step);
  std::unique_lock lock(work.mutex);
  work.paused = true;
  work.to_consumer.wait(lock, [&] { return work.active == 0; });
  work.consumed = work.claimed_batch = epoch * work.batches + step;
  work.claimed_place = 0;
  for (Slot& slot : work.ring) slot.batch.count = 0;
  work.paused = false;
  work.to_workers.notify_all();
}

template <class Take>
Batch Loader::Work::hand_out(const Take& take) {
  std::unique_lock lock(mutex);
  Slot& slot = ring[static_cast<std::size_t>(consumed) % ring.size()];
  const std::int64_t epoch = consumed / batches, step = consumed % batches;
  to_consumer.wait(lock, [&] {
    return slot.batch.count > 0 && slot.batch.epoch == epoch && slot.batch.step == step &&
           slot.unfinished == 0;
  });
  if (slot.failure) std::rethrow_exception(slot.failure);
  lock.unlock();  // the slot stays this batch's until it is counted as consumed
  take(slot, slot.batch.count);
  const Batch batch = slot.batch;
  lock.lock();
  ++consumed;
  to_workers.notify_all();
  return batch;
}

Batch Loader::next(float* images, std::uint8_t* labels) {
  check(!work_->raw(), "Loader::next", "its batches are raw");
  return work_->hand_out([&](const Slot& slot, std::int64_t count) {
    std::copy_n(slot.images.data(), count * work_->shape.count(), images);
    std::copy_n(slot.labels.data(), count * work_->shape.pixels(), labels);
  });
}

Batch Loader::next_raw(const RawBatch& batch) {
  check(work_->raw(), "Loader::next_raw", "its batches are ready ones");
  return work_->hand_out([&](const Slot& slot, std::int64_t count) {
    const Shape source = work_->form.source;
    std::memcpy(batch.pixels, slot.pixels.data(),
                static_cast<std::size_t>(count * source.count()) * size_of(work_->form.dtype));
    std::copy_n(slot.labels.data(), count * source.pixels(), batch.classes);
    std::copy_n(slot.draws.data(), count, batch.samples);
  });
}

AugmentBy Loader::augment_by() const { return work_->options.augment_by; }

RawImages Loader::raw_images() const { return work_->form; }

std::vector<std::string> Loader::take_notes() {
  const std::scoped_lock lock(work_->notes_mutex);
  return std::exchange(work_->notes, {});
}

}  // namespace fjord
