// A real redis-server on a port of its own, to be killed, frozen and started again.
#ifndef DUET_TESTS_TESTING_REDIS_SERVER_H_
#define DUET_TESTS_TESTING_REDIS_SERVER_H_

#include <absl/time/time.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/subprocess.h"
#include "tests/testing/temp_dir.h"

namespace duet_testing {

class RedisServer {
 public:
  // Started, and answers. `arguments`: of redis-server, e.g. "--requirepass", "secret". Throws if
  // there is no redis-server: it is found in .duet/tools/bin, where ./duet test puts it, or
  // /usr/bin.
  explicit RedisServer(std::vector<std::string> arguments = {});

  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }
  int port() const { return port_; }

  // How long `key` is still kept; negative if it isn't there or is kept for good.
  absl::Duration TimeToLive(const std::string& key) const;
  // The name of any key, as soon as there is one.
  std::string AwaitKey() const;

  void Kill();
  // Again on the same port, empty. REQUIRES: killed.
  void Start();
  // It still accepts connections (the kernel does), but says nothing.
  void Freeze();
  void Thaw();

 private:
  bool TryStart();
  // The answer to a command on a connection of its own.
  std::string Ask(const std::vector<std::string_view>& command) const;

  const std::vector<std::string> arguments_;
  TempDir folder_;
  int port_ = 0;
  std::unique_ptr<Subprocess> process_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_TESTING_REDIS_SERVER_H_
