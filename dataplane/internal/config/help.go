package config

// Usage is the text of --help.
const Usage = `
Usage: covey-broker [options]

A NATS broker. Options may be written with one dash or two; those given here
take precedence over the configuration file.

Server:
    -a, --addr, --net <host>         Host to listen on (default: 127.0.0.1)
    -p, --port <port>                Port for clients (default: 4222; 0 or -1 for any free one)
    -n, --name, --server_name <name> Name of this broker (default: its id)
    -P, --pid <file>                 File to write the process id to
    -m, --http_port <port>           Port for monitoring (default: none; 0 or -1 for any free one)
    -ms, --https_port <port>         Port for monitoring over TLS, instead
    -c, --config <file>              Configuration file
    -t                               Check the configuration file and exit
    -sl, --signal <signal>[=<pid>]   Signal a running broker: ldm, stop, quit, term, reopen, reload;
                                     <pid> is a process id or the path of a pid file
        --client_advertise <host:port>
                                     What clients are told to connect to
        --ports_file_dir <dir>       Directory for a file that lists the ports in use

Logging:
    -l, --log <file>                 Log file (default: standard error)
    -T, --logtime                    Stamp log lines with the time (default: true)
        --logtime_utc                Stamp them in UTC
    -s, --syslog                     Log to the system log
    -r, --remote_syslog <addr>       Log to a remote system log (udp://localhost:514)
    -D, --debug                      Log debugging lines
    -V, --trace                      Log every line of the protocol, without secrets
    -VV                              The same; of the broker's own messages what reaches clients
    -DV, -DVV                        Both
        --max_traced_msg_len <bytes> How much of a payload is logged (default: all)
        --profile <port>             Port for Go profiles on loopback (default: none; -1 for any free one)
        --log_size_limit <bytes>     Size from which on a log file is moved aside

Who may connect:
        --user <user>                User required of clients
        --pass <password>            Password required of clients
        --auth <token>               Token required of clients

Cluster (or the file's cluster block):
        --cluster, --cluster_listen <url>
                                     Where other brokers connect: nats://[user:pass@]host:port
        --routes <url,...>           Brokers to connect to: nats-route://[user:pass@]host:port
        --cluster_name <name>        Name of the cluster (default: the others', or made up)
        --cluster_advertise <host:port>
                                     What other brokers are told to connect to
        --no_advertise               Keep the addresses for clients from the other brokers
        --connect_retries <n>        How often more a broker is tried that others told of

TLS:
        --tls                        Encrypt clients' connections (default: false)
        --tlscert <file>             The broker's certificate
        --tlskey <file>              Its key
        --tlsverify                  Demand certificates of clients
        --tlscacert <file>           The authority that signed those
        --help_tls                   What may be chosen in a tls block

Enrolment with a control plane (or the file's covey block):
        --control-plane <host:port>  Fleet service of the control plane
        --otlp <host:port>           Receiver of usage
        --operator-public-key <key>  The operator whose accounts are served
        --join-token-file <file>     Join token, until the broker is enrolled
        --state-dir <dir>            Directory for usage counters and cached claims

Other:
    -h, --help                       This text
    -v, --version                    Version
`
