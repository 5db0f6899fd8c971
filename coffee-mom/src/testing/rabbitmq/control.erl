%% Runs in the broker's own Erlang machine, read by file:script/1 while that starts, in the broker's folder.
%%
%% Each connection to control.sock sends expressions and gets their values, each as a packet of a length of
%% four bytes and UTF-8 text; the first character of an answer is + for a value and - for an exception.
%% An expression may leave a fun under the key at_end for the end of its connection.
%%
%% Once the last connection has gone for as long as COFFEE_LINGER says (milliseconds), the machine
%% removes its folder and halts. That closes the connections of clients, so none can keep it.

Answer = fun(Source) ->
    try
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Source)),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, []),
        unicode:characters_to_binary(io_lib:format("+~0tp", [Value]))
    catch
        Class:Reason -> unicode:characters_to_binary(io_lib:format("-~0tp", [{Class, Reason}]))
    end
end,

Serve = fun Serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Source} ->
            gen_tcp:send(Socket, Answer(Source)),
            Serve(Socket);
        {error, _} ->
            case get(at_end) of
                undefined -> ok;
                AtEnd -> AtEnd()
            end
    end
end,

Accept = fun Accept(Listener, Keeper) ->
    case gen_tcp:accept(Listener) of
        {ok, Socket} ->
            Session = spawn(fun() -> receive serve -> Serve(Socket) end end),
            Keeper ! {session, Session},
            gen_tcp:controlling_process(Socket, Session),
            Session ! serve,
            Accept(Listener, Keeper);
        {error, closed} ->
            ok;
        {error, Reason} ->
            io:format("no more sessions: ~0tp~n", [Reason]),
            erlang:halt(1)
    end
end,

Halt = fun(Listener) ->
    gen_tcp:close(Listener),
    {ok, Folder} = file:get_cwd(),
    file:del_dir_r(Folder),
    erlang:halt(0, [{flush, false}])
end,

Keep = fun Keep(Listener, Sessions, Linger) ->
    receive
        {session, Session} ->
            monitor(process, Session),
            Keep(Listener, Sessions + 1, infinity);
        {'DOWN', _, process, _, _} when Sessions > 1 ->
            Keep(Listener, Sessions - 1, infinity);
        {'DOWN', _, process, _, _} ->
            Keep(Listener, 0, list_to_integer(os:getenv("COFFEE_LINGER")))
    after Linger ->
        Halt(Listener)
    end
end,

spawn(fun() ->
    try
        file:delete("control.sock"),
        Options = [binary, {packet, 4}, {active, false}, {backlog, 512}, {ifaddr, {local, "control.sock"}}],
        {ok, Listener} = gen_tcp:listen(0, Options),
        Keeper = self(),
        spawn(fun() -> Accept(Listener, Keeper) end),
        %% Whoever started the machine connects at once, unless it was killed.
        Keep(Listener, 0, 60000)
    catch
        Class:Reason ->
            io:format("no control socket: ~0tp~n", [{Class, Reason}]),
            erlang:halt(1)
    end
end).
