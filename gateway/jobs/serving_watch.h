// Which models serve, by the serving.json files below the model root (lib/model_store). They are
// read again and again, since anybody who may write there changes them: a verdict that some gateway
// applies, or `duet models rollback`. Of each change of version is logged who did it, the services
// are looked at soon, and one of the gateways renews the project's predictions: whoever is the
// first to say so in serving.json.
//
// What can't be read says nothing: what was known before holds, and the error is logged once.
//
// Thread-safe.
#ifndef DUET_GATEWAY_JOBS_SERVING_WATCH_H_
#define DUET_GATEWAY_JOBS_SERVING_WATCH_H_

#include <absl/status/status.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "model_store/model_store.h"

namespace gateway::jobs {

// A version that serves a project from now on.
struct Swap {
  model_store::Kind kind = model_store::Kind::kDetector;
  std::string project_id;
  std::uint64_t version = 0;  // 0: the default model serves
};

class ServingWatch {
 public:
  // What follows from a change; called on any thread, and may not block.
  struct Hooks {
    std::function<void()> changed;
    // This gateway renews the project's predictions. Null: it can't, others do.
    std::function<void(const Swap&)> renew;
    // Whether models of that Label Studio's projects are this gateway's business. On any thread.
    std::function<bool(const std::string& label_studio_url)> is_ours;
  };

  // An empty `model_root`: there is nothing to watch, and nothing below may be called but enabled()
  // and Stop(). The executor's context must not be run any more at destruction, which waits for
  // what reads or writes the model root just then.
  ServingWatch(boost::asio::any_io_executor executor, std::string model_root,
               std::chrono::milliseconds pause, Hooks hooks);

  bool enabled() const { return !store_.root().empty(); }
  // What is posted to files() from now on runs after the first look.
  void Begin();
  void Stop();
  // Something has just changed.
  void LookSoon();

  const model_store::ModelStore& store() const { return store_; }
  // The thread for what blocks on the model root. One of its own: a volume that hangs must not hold
  // up anything else.
  boost::asio::thread_pool& files() { return files_; }

 private:
  using Serving = model_store::Serving;
  // What a look has found.
  struct Seen {
    bool changed = false;
    std::vector<Swap> renewals;  // that are this gateway's
  };

  boost::asio::awaitable<void> Follow();
  // On files_, one at a time.
  Seen Look();
  void LookAtKind(model_store::Kind kind, Seen* seen);
  void LookAtName(model_store::Kind kind, const std::string& name, Seen* seen);
  // Whether this gateway is the first that renews what the version has changed.
  bool Claim(model_store::Kind kind, const std::string& name, const Serving& serving);
  // Logs an error of `what` once for as long as it stays the same; OK: it is over.
  void NoteError(const std::string& what, const absl::Status& status);

  const boost::asio::strand<boost::asio::any_io_executor> strand_;
  const model_store::ModelStore store_;
  const std::chrono::milliseconds pause_;
  const Hooks hooks_;
  boost::asio::steady_timer timer_;  // on strand_
  std::mutex mutex_;
  bool stopping_ = false;  // guarded by mutex_
  bool wake_ = false;      // guarded by mutex_
  // On files_: by kind and name.
  std::map<model_store::Kind, std::map<std::string, Serving>> serving_;
  std::map<std::string, std::string> errors_;
  bool looked_ = false;
  boost::asio::thread_pool files_{1};  // last: joined first
};

}  // namespace gateway::jobs

#endif  // DUET_GATEWAY_JOBS_SERVING_WATCH_H_
