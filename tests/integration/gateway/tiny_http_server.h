// An HTTP server of a few lines, for tests of clients: one thread a connection, keep-alive, and a
// function that answers. Counts connections.
#ifndef DUET_TESTS_INTEGRATION_GATEWAY_TINY_HTTP_SERVER_H_
#define DUET_TESTS_INTEGRATION_GATEWAY_TINY_HTTP_SERVER_H_

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace duet_testing {

struct TinyRequest {
  std::string method;
  std::string target;                          // path and query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct TinyResponse {
  int status = 200;
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  bool omit_length = false;  // closes the connection after the body instead
};

class TinyHttpServer {
 public:
  using Handler = std::function<TinyResponse(const TinyRequest&)>;

  // Listens on a free port of 127.0.0.1. The handler runs on the connections' threads.
  explicit TinyHttpServer(Handler handler);
  // Closes all connections and joins their threads.
  ~TinyHttpServer();

  int port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }
  int requests() const { return requests_; }

 private:
  void Accept();
  void Serve(int socket);

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::atomic<int> requests_{0};
  std::mutex mutex_;
  std::vector<int> sockets_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace duet_testing

#endif  // DUET_TESTS_INTEGRATION_GATEWAY_TINY_HTTP_SERVER_H_
